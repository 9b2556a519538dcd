"""The scenarios: what changes on the source, and what is measured until all have it."""

from __future__ import annotations

import os
import select
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from inotify_simple import INotify, flags

from benchmarks.agents import L2sync
from benchmarks.peers import SENDER, Peer, Unable
from benchmarks.trees import MIB, difference, make_big, make_tree, marks, rewrite
from l2sync.cli.lab import Lab

SCENARIOS = ("big", "tree", "edits", "latency", "idle")
_SEED = 2


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much each scenario moves."""

    big: int = 256 * MIB
    files: int = 10_000
    folders: int = 800
    mean: int = 10_000
    edits: int = 100
    latencies: int = 50
    idle_seconds: float = 20.0

    def scaled(self, factor: float) -> Sizes:
        """The same, all counts and sizes times a factor."""
        return replace(
            self,
            big=max(1, round(self.big * factor)),
            files=max(10, round(self.files * factor)),
            folders=max(5, round(self.folders * factor)),
            edits=max(1, round(self.edits * factor)),
            latencies=max(3, round(self.latencies * factor)),
            idle_seconds=max(2.0, self.idle_seconds * factor),
        )


@dataclass(slots=True)
class Result:
    """One peer in one scenario, one run."""

    scenario: str
    peer: str
    failure: str = ""
    seconds: float = 0.0
    payload: int = 0
    sender_bytes: int = 0
    segment_bytes: int = 0
    cpu: float = 0.0
    cpu_sender: float = 0.0
    cpu_worst_receiver: float = 0.0
    peak: int = 0
    differences: list[str] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)


class Session:
    """One peer on fresh trees: its scenarios in order, each leaving the trees equal."""

    def __init__(self, peer: Peer, lab: Lab, sizes: Sizes, timeout: float) -> None:
        self.peer, self.lab, self.sizes, self.timeout = peer, lab, sizes, timeout
        self._filled = False
        self._broken = ""

    def run(self, scenario: str) -> Result:
        """Measure one scenario; a failure is part of the result."""
        result = Result(scenario, self.peer.name)
        try:
            if self._broken:
                raise Unable(f"not tried after: {self._broken}")
            if scenario in ("edits", "latency", "idle") and not self._filled:
                self._fill(Result("tree", self.peer.name))
            {"big": self._big, "tree": self._fill, "edits": self._edits, "latency": self._latency, "idle": self._idle}[
                scenario
            ](result)
        except (Unable, TimeoutError) as error:
            result.failure = str(error)
            self._broken = self._broken or f"{scenario} failed"
        return result

    def _big(self, result: Result) -> None:
        prepared = self.peer.folder / "prepared-big"
        result.payload = make_big(prepared, self.sizes.big, _SEED)
        self._measure(result, lambda: _move_into(prepared, self.peer.source), None)

    def _fill(self, result: Result) -> None:
        prepared = self.peer.folder / "prepared-tree"
        result.payload = make_tree(prepared, self.sizes.files, self.sizes.folders, self.sizes.mean, _SEED)
        self._measure(result, lambda: _move_into(prepared, self.peer.source), None)
        if result.differences:
            raise Unable(f"the trees differ: {result.differences[:3]}")
        self._filled = True

    def _edits(self, result: Result) -> None:
        paths: list[str] = []

        def change() -> None:
            changed, result.payload = rewrite(self.peer.source, self.sizes.edits, _SEED + 1)
            paths.extend(changed)

        self._measure(result, change, paths)

    def _measure(self, result: Result, change: Callable[[], object], paths: list[str] | None) -> None:
        """Change the source, and take the time from then until all have it; `paths` are filled by the change."""
        peer, deadline = self.peer, time.monotonic() + self.timeout
        peer.prepare()
        ended = {id(metered) for metered in peer.metered if metered.poll() is not None}
        for metered in peer.metered:
            metered.forget_peak()
        cpu = {id(metered): metered.cpu() for metered in peer.metered}
        wire = self.lab.traffic()
        change()
        begin = time.monotonic()
        peer.transfer(marks(peer.source, paths), deadline)
        result.seconds = time.monotonic() - begin
        sent = [now.sent - then.sent for now, then in zip(self.lab.traffic(), wire, strict=True)]
        result.sender_bytes, result.segment_bytes = sent[0], sum(sent)
        if isinstance(peer, L2sync):
            peer.flush(deadline - time.monotonic())
            result.figures["flushed_after"] = time.monotonic() - begin
        peer.conclude()
        self._bill(result, cpu, ended)
        for tree in peer.trees[1:]:
            result.differences += difference(peer.source, tree)

    def _bill(self, result: Result, before: dict[int, float], ended: set[int]) -> None:
        spent = {
            id(metered): metered.cpu() - before.get(id(metered), 0.0)
            for metered in self.peer.metered
            if id(metered) not in ended
        }
        active = [metered for metered in self.peer.metered if id(metered) in spent]
        result.cpu = sum(spent.values())
        result.cpu_sender = sum(spent[id(metered)] for metered in active if metered.role == SENDER)
        result.cpu_worst_receiver = max(
            (spent[id(metered)] for metered in active if metered.role != SENDER), default=0.0
        )
        result.peak = max((metered.peak() for metered in active), default=0)

    def _latency(self, result: Result) -> None:
        """From closing a small file to its being right on all receivers, one file at a time."""
        peer, random = self.peer, Random(_SEED)
        place = "latency"
        (peer.source / place).mkdir()
        peer.transfer(marks(peer.source, [place]), time.monotonic() + self.timeout)
        watchers: dict[INotify, Path] = {}
        try:
            for tree in peer.trees[1:]:
                watcher = INotify(nonblocking=True)
                watcher.add_watch(tree / place, flags.MOVED_TO | flags.CREATE | flags.CLOSE_WRITE | flags.ATTRIB)
                watchers[watcher] = tree
            taken = []
            for number in range(self.sizes.latencies):
                time.sleep(random.uniform(0.1, 0.4))  # in no step with anybody's timers
                content = random.randbytes(4096)
                path = f"{place}/file{number:04}"
                (peer.source / path).write_bytes(content)
                begin = time.monotonic()
                _wait_for_content(watchers, path, content, begin + 30.0)
                taken.append(time.monotonic() - begin)
        finally:
            for watcher in watchers:
                watcher.close()
        taken.sort()
        result.seconds = statistics.median(taken)
        p99 = taken[min(len(taken) - 1, round(0.99 * len(taken)))]
        result.figures = {"median_ms": result.seconds * 1e3, "p99_ms": p99 * 1e3, "worst_ms": taken[-1] * 1e3}
        result.payload = 4096
        for tree in peer.trees[1:]:
            result.differences += difference(peer.source, tree)

    def _idle(self, result: Result) -> None:
        """What the agents use while nothing happens."""
        peer = self.peer
        time.sleep(5.0)  # what still settles from before
        agents = [metered for metered in peer.metered if metered.poll() is None]
        wire, before, begin = self.lab.traffic(), [agent.cpu() for agent in agents], time.monotonic()
        time.sleep(self.sizes.idle_seconds)
        result.seconds = time.monotonic() - begin
        shares = [(agent.cpu() - then) / result.seconds for agent, then in zip(agents, before, strict=True)]
        sent = [now.sent - then.sent for now, then in zip(self.lab.traffic(), wire, strict=True)]
        result.sender_bytes, result.segment_bytes = sent[0], sum(sent)
        result.cpu, result.peak = sum(shares) * result.seconds, max(agent.peak() for agent in agents)
        result.figures = {
            "cpu_percent_worst": max(shares) * 100,
            "cpu_percent_mean": statistics.mean(shares) * 100,
            "memory_mb_worst": max(agent.memory() for agent in agents) / 1e6,
            "memory_mb_sender": agents[0].memory() / 1e6,
        }


def _move_into(prepared: Path, tree: Path) -> None:
    """The data turns up at once, as a whole, with its own times."""
    times = os.stat(prepared)
    for path in sorted(prepared.iterdir()):
        path.rename(tree / path.name)
    os.utime(tree, ns=(times.st_atime_ns, times.st_mtime_ns))
    prepared.rmdir()


def _wait_for_content(watchers: dict[INotify, Path], path: str, content: bytes, deadline: float) -> None:
    missing = dict(watchers)
    while missing:
        for watcher, tree in list(missing.items()):
            target = tree / path
            if target.exists() and target.read_bytes() == content:
                del missing[watcher]
        if not missing:
            return
        patience = deadline - time.monotonic()
        if patience <= 0:
            raise TimeoutError(f"{path} has not arrived at {len(missing)} receivers: {list(missing.values())[:3]}")
        # The receivers' own events wake us: to poll would take the time that is measured.
        for watcher in select.select(list(missing), [], [], min(patience, 0.5))[0]:
            watcher.read(timeout=0)
