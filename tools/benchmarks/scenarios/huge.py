"""A gibibyte of which little or nothing is new: a delta in one file, a rename of a directory."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from benchmarks.measure import Result, Sizes
from benchmarks.peers import Unable
from benchmarks.scenarios.base import Scenario, move_into
from benchmarks.stage import Stage
from benchmarks.trees import make_big, make_parts

_SEED = 5
_CHANGE = 1000
_PART = 4 << 20


def _delta(stage: Stage) -> Iterator[Result]:
    source = stage.peer.source
    prepared = stage.peer.folder / "prepared-huge"
    with stage.bench.during("making the data"):
        make_big(prepared, stage.sizes.huge, _SEED)
    _fill(stage, prepared)
    target, aside = source / "big.bin", stage.peer.folder / "changed.bin"
    with stage.reserving(stage.sizes.huge * stage.conditions.receivers):
        yield _changed(stage, "overwritten", lambda: _overwrite(target))
        _insert(target, aside)
        yield _changed(stage, "inserted", lambda: aside.replace(target))


def _changed(stage: Stage, label: str, change: Callable[[], object]) -> Result:
    result = stage.result("delta", label)
    result.payload = _CHANGE
    stage.measure(result, change, ["big.bin"])
    _wire(result)
    return result


def _rename(stage: Stage) -> Iterator[Result]:
    source = stage.peer.source
    prepared = stage.peer.folder / "prepared-parts"
    size = make_parts(prepared, stage.sizes.huge, min(_PART, stage.sizes.huge // 16), _SEED)
    _fill(stage, prepared)
    result = stage.result("rename")
    result.payload = size
    paths: list[str] = []

    def change() -> None:
        (source / "old").rename(source / "new")
        paths.extend(str(path.relative_to(source)) for path in [source / "new", *(source / "new").rglob("*")])

    stage.measure(result, change, paths)
    _wire(result)
    yield result


def _wire(result: Result) -> None:
    result.figures |= {"wire_kb": result.segment_bytes / 1e3, "sender_kb": result.sender_bytes / 1e3}


def _fill(stage: Stage, prepared: Path) -> None:
    """Everywhere, at full speed, not measured."""
    first = stage.result("fill")
    with stage.unshaped():
        stage.measure(first, lambda: move_into(prepared, stage.peer.source), prepared=prepared)
    if first.differences:
        raise Unable(f"the trees differ before it: {first.differences[:3]}")


def _overwrite(path: Path) -> None:
    """A thousand bytes in place, a third into the file."""
    with open(path, "r+b") as file:
        file.seek(path.stat().st_size // 3)
        file.write(Random(_SEED + 1).randbytes(_CHANGE))


def _insert(path: Path, target: Path) -> None:
    """The file with a thousand bytes more, two thirds into it, written aside as editors do."""
    with open(path, "rb") as file, open(target, "wb") as copy:
        place = path.stat().st_size * 2 // 3
        while place:
            piece = file.read(min(place, 1 << 20))
            copy.write(piece)
            place -= len(piece)
        copy.write(Random(_SEED + 2).randbytes(_CHANGE))
        shutil.copyfileobj(file, copy, 1 << 20)
    os.chmod(target, path.stat().st_mode)


def _space(sizes: Sizes, receivers: int) -> int:
    return sizes.huge * (2 * receivers + 3)


DELTA = Scenario("delta", "1 kB overwritten, then 1 kB inserted, in a file of 1 GiB", _space, "delta", _delta)
RENAME = Scenario("rename", "a directory of 1 GiB gets another name", _space, "rename", _rename)
