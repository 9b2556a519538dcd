"""What a look at one path tells people."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from l2sync.disk.explain import Seen
from l2sync.modtree import Kind, TreePath

from .conftest import Replica

Pair = tuple[Replica, Replica]


def look(replica: Replica, path: bytes) -> Seen:
    return replica.store.explain(TreePath(path))


def test_what_stands_there_is_told(pair: Pair) -> None:
    a, _ = pair
    (a.root / "f").write_text("content")
    os.mkfifo(a.root / "pipe")
    seen = look(a, b"f")
    assert seen.kind is Kind.FILE and seen.status is not None and seen.status.st_size == 7
    assert look(a, b"").kind is Kind.DIR
    assert look(a, b"nothing/there") == Seen()
    assert (look(a, b"pipe").kind, look(a, b"pipe").what) == (None, "a FIFO")


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        (b"x.swp", "*.swp in .l2syncignore"),
        (b"keep.swp", None),
        (b"cache/deep/file", "cache/ in the configuration"),
        (b"d/e/x.swp", "*.swp in .l2syncignore"),
        (b".l2sync/id", "the agent's own directory"),
        (b"plain", None),
    ],
)
def test_the_pattern_that_ignores_it_is_told(replica: Callable[..., Replica], path: bytes, pattern: str | None) -> None:
    a = replica("a", ignore=("# a comment", "", "cache/"))
    (a.root / ".l2syncignore").write_text("# mine\n\n*.swp\n!keep.swp\n")
    a.scan()
    assert look(a, path).ignored == pattern


def test_what_is_behind_a_link_is_not_part_of_the_tree(pair: Pair) -> None:
    a, _ = pair
    (a.root / "d").mkdir()
    (a.root / "d" / "f").touch()
    os.symlink("d", a.root / "link")
    assert "symbolic link" in (look(a, b"link/f").error or "")
    assert look(a, b"link").kind is Kind.LINK


def test_a_root_that_is_gone_is_told(pair: Pair) -> None:
    a, _ = pair
    a.root.rename(a.root.with_name("moved"))
    assert "cannot be opened" in (look(a, b"f").error or "")
    a.root.with_name("moved").rename(a.root)
