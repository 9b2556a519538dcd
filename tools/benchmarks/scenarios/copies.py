"""Whole files and trees: one big file, many small ones, and some of these rewritten."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.measure import Result, Sizes
from benchmarks.peers import Unable
from benchmarks.scenarios.base import Scenario, move_into
from benchmarks.stage import Stage
from benchmarks.trees import make_big, make_tree, rewrite

_SEED = 2


def copy_big(stage: Stage, result: Result, arrivals: dict[int, float] | None = None) -> None:
    """One file of incompressible bytes turns up."""
    prepared = stage.peer.folder / "prepared-big"
    result.payload = make_big(prepared, stage.sizes.big, _SEED)
    stage.measure(result, lambda: move_into(prepared, stage.peer.source), prepared=prepared, arrivals=arrivals)


def copy_tree(stage: Stage, result: Result) -> None:
    """A tree of small files turns up. Raises Unable where it does not become equal, since others build on it."""
    sizes = stage.sizes
    prepared = stage.peer.folder / "prepared-tree"
    result.payload = make_tree(prepared, sizes.files, sizes.folders, sizes.mean, _SEED)
    stage.measure(result, lambda: move_into(prepared, stage.peer.source), prepared=prepared)
    if not result.differences:
        stage.filled = "tree"


def need_tree(stage: Stage) -> None:
    """The tree of small files is everywhere, whether it was measured or not."""
    if stage.filled != "tree":
        first = stage.result("tree")
        with stage.unshaped():
            copy_tree(stage, first)
        if first.differences:
            raise Unable(f"the trees differ: {first.differences[:3]}")


def _big(stage: Stage) -> Iterator[Result]:
    result = stage.result("big")
    copy_big(stage, result)
    yield result


def _tree(stage: Stage) -> Iterator[Result]:
    result = stage.result("tree")
    copy_tree(stage, result)
    yield result


def _edits(stage: Stage) -> Iterator[Result]:
    need_tree(stage)
    result, paths = stage.result("edits"), list[str]()

    def change() -> None:
        changed, result.payload = rewrite(stage.peer.source, stage.sizes.edits, _SEED + 1)
        paths.extend(changed)

    stage.measure(result, change, paths)
    yield result


def space_of_big(sizes: Sizes, receivers: int) -> int:
    """Bytes; twice at each receiver, who may write aside."""
    return sizes.big * (2 * receivers + 2)


def space_of_tree(sizes: Sizes, receivers: int) -> int:
    """Bytes; small files take whole pages."""
    return sizes.files * (sizes.mean + 4096) * (2 * receivers + 2)


BIG = Scenario("big", "one incompressible file of 256 MiB", space_of_big, "big", _big)
TREE = Scenario("tree", "10,000 small files in 800 directories", space_of_tree, "tree", _tree)
EDITS = Scenario("edits", "100 of these files rewritten at once", space_of_tree, "tree", _edits)
