"""From closing a small file to its being right on all receivers, one file at a time."""

from __future__ import annotations

import os
import select
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

from inotify_simple import INotify, flags

from benchmarks.measure import Result, Sizes
from benchmarks.scenarios.base import Scenario
from benchmarks.scenarios.copies import need_tree, space_of_tree
from benchmarks.stage import Stage
from benchmarks.trees import marks

_SEED = 7
_PLACE = "latency"
_PATIENCE = 30.0
_PRIORITY = -10
"""Of the bench: who looks for the end must not wait for a core that the agents' later work has."""


def _latency(stage: Stage) -> Iterator[Result]:
    need_tree(stage)
    yield _sample(stage, "latency", stage.sizes.latencies, 4096)


def _settle0(stage: Stage) -> Iterator[Result]:
    yield _sample(stage, "settle0", stage.sizes.quick_latencies, 100)


def _sample(stage: Stage, scenario: str, count: int, size: int) -> Result:
    peer, random, result = stage.peer, Random(_SEED), stage.result(scenario)
    (peer.source / _PLACE).mkdir()
    # With a file in it, since some tools carry no empty folders at once.
    (peer.source / _PLACE / "first").write_bytes(b"first")
    peer.transfer(
        marks(peer.source, [_PLACE, f"{_PLACE}/first"], peer.strictness), time.monotonic() + stage.bench.timeout
    )
    before, wire = {id(one): one.cpu() for one in peer.metered}, stage.traffic()
    watchers: dict[INotify, Path] = {}
    os.setpriority(os.PRIO_PROCESS, 0, _PRIORITY)
    try:
        for tree in peer.trees[1:]:
            watcher = INotify(nonblocking=True)
            watcher.add_watch(tree / _PLACE, flags.MOVED_TO | flags.CREATE | flags.CLOSE_WRITE | flags.ATTRIB)
            watchers[watcher] = tree
        taken = []
        for number in range(count):
            time.sleep(random.uniform(0.1, 0.4))  # in no step with anybody's timers
            content = random.randbytes(size)
            path = f"{_PLACE}/file{number:04}"
            (peer.source / path).write_bytes(content)
            begin = time.monotonic()
            _wait_for_content(watchers, path, content, begin + _PATIENCE)
            taken.append(time.monotonic() - begin)
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, 0)
        for watcher in watchers:
            watcher.close()
    result.sender_bytes, result.segment_bytes = stage.sent_since(wire)
    result.cpu = sum(one.cpu() - before.get(id(one), 0.0) for one in peer.metered)
    result.peak = max(one.peak() for one in peer.metered)
    _summarise(result, sorted(taken))
    result.payload = count * size
    stage.judge(result)
    return result


def _summarise(result: Result, taken: list[float]) -> None:
    result.seconds = statistics.median(taken)
    p99 = taken[min(len(taken) - 1, round(0.99 * len(taken)))]
    result.figures = {"median_ms": result.seconds * 1e3, "p99_ms": p99 * 1e3, "worst_ms": taken[-1] * 1e3}


def _wait_for_content(watchers: dict[INotify, Path], path: str, content: bytes, deadline: float) -> None:
    # One tree after the other: who watches takes time from who is watched, and it ends when the last one has it.
    for watcher, tree in watchers.items():
        target = os.path.join(tree, path)
        watcher.read(timeout=0)
        while not _holds(target, content):
            patience = deadline - time.monotonic()
            if patience <= 0:
                raise TimeoutError(f"{path} has not arrived in {tree}")
            # The receivers' own events wake us: to poll would take the time that is measured.
            if select.select([watcher], [], [], min(patience, 0.5))[0]:
                watcher.read(timeout=0)


def _holds(file: str, content: bytes) -> bool:
    try:
        with open(file, "rb") as opened:
            return opened.read() == content
    except FileNotFoundError:
        return False


def _space(sizes: Sizes, receivers: int) -> int:
    return sizes.quick_latencies * 4096 * (receivers + 1)


LATENCY = Scenario("latency", "a file of 4 kB in that tree, closed to visible on all", space_of_tree, "tree", _latency)
SETTLE0 = Scenario("settle0", "a file of 100 bytes, every delay at its least", _space, "settle0", _settle0, eager=True)
