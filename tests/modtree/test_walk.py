"""Through a tree in order, a part at a time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from l2sync.modtree import ROOT, Entry, ModTree, ancestors, paths_after, steps

from .make import entries


@given(st.lists(entries(), max_size=15), st.integers(1, 6))
def test_part_after_part_comes_to_every_path_below_the_root_once_and_in_order(found: list[Entry], most: int) -> None:
    tree = ModTree(found)
    met = [ROOT]
    while some := paths_after(tree, met[-1], most):
        met += some
        assert len(some) == most or not paths_after(tree, met[-1], most)
    assert met[1:] == sorted(tree.paths(), key=steps)


@given(st.lists(entries(), max_size=15), st.integers(0, 15))
def test_of_many_paths_some_are_named_and_none_without_its_directory(found: list[Entry], most: int) -> None:
    tree = ModTree(found)
    some, all_of_them = tree.paths(most=most), set(tree.paths())
    assert len(some) == min(most, len(tree)) and set(some) <= all_of_them
    assert all(above in some for path in some for above in ancestors(path) if above in all_of_them)
