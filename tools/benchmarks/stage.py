"""Where a scenario takes place: a lab, one peer on it, and the instruments."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.measure import Conditions, Result, Sizes
from benchmarks.meters import sampling
from benchmarks.peers import L2sync, Peer
from benchmarks.peers.base import SENDER
from benchmarks.reserve import Reserve, is_tmpfs
from benchmarks.trees import Mark, difference, marks
from l2sync.cli.lab import Host, Lab

_START_PATIENCE = 60.0
_TIDYING = 15.0
"""Seconds that a tool which runs all the time may take after the last file, for times of folders and the like."""


@dataclass(slots=True)
class Bench:
    """What was asked for, and where trees are made. Options left at None are each scenario's own."""

    sizes: Sizes
    workdir: Path
    receivers: int = 8
    rate: float | None = None
    mtu: int = 1500
    loss: float = 0.0
    timeout: float = 600.0
    keep: bool = False
    counts: tuple[int, ...] = (1, 2, 4, 8, 16)
    losses: tuple[float, ...] = (0.0, 0.05)
    report: Callable[[Result], None] = field(default=lambda result: None)
    step: str = "starting"
    """What is being done now: told where the whole is ended from outside."""

    @contextmanager
    def during(self, step: str) -> Iterator[None]:
        """Name what is done in the block."""
        before, self.step = self.step, step
        try:
            yield
        except Exception:
            self.step = before
            raise
        self.step = before

    def conditions(self, receivers: int | None = None, rate: float = 100.0, loss: float | None = None) -> Conditions:
        """What was asked for, and where nothing was, the scenario's own."""
        return Conditions(
            receivers or self.receivers,
            rate if self.rate is None else self.rate,
            self.mtu,
            self.loss if loss is None else loss,
        )

    @contextmanager
    def stage(
        self,
        kind: type[Peer],
        conditions: Conditions,
        *,
        eager: bool = False,
        before: Callable[[Peer], object] | None = None,
        patience: float = _START_PATIENCE,
    ) -> Iterator[Stage]:
        """A lab with the peer running on fresh trees; `before` may fill them first. All of it ends with the block."""
        place = Path(tempfile.mkdtemp(prefix=f"{kind.name}-", dir=self.workdir))
        hosts = conditions.receivers + 1
        try:
            with Lab(hosts, rate=conditions.rate, mtu=conditions.mtu, addresses=True) as lab:
                peer = kind(lab, place, eager)
                try:
                    if before is not None:
                        before(peer)
                    if conditions.loss:
                        lab.lose(conditions.loss)
                    peer.start(time.monotonic() + patience)
                    yield Stage(self, peer, lab, conditions)
                finally:
                    peer.stop()
        finally:
            if not self.keep:
                _retire(place, self.workdir / "old")


@dataclass(slots=True)
class Stage:
    """One peer on one lab."""

    bench: Bench
    peer: Peer
    lab: Lab
    conditions: Conditions
    filled: str = ""
    broken: str = ""
    reserve: Reserve | None = None

    @property
    def sizes(self) -> Sizes:
        return self.bench.sizes

    def result(self, scenario: str, label: str = "") -> Result:
        """An empty result of this peer under these conditions."""
        leniency = self.peer.strictness.note
        return Result(scenario, self.peer.name, label=label, conditions=self.conditions, leniency=leniency)

    def measure(
        self,
        result: Result,
        change: Callable[[], object],
        paths: list[str] | None = None,
        prepared: Path | None = None,
        arrivals: dict[int, float] | None = None,
    ) -> None:
        """Change the source, and take the time from then until all have it.

        paths: what the change touches; it may fill them. prepared: a folder whose content the change moves in; it is
        looked at beforehand, since that takes time. arrivals: gets the seconds that each receiver took by itself.
        """
        peer, deadline = self.peer, time.monotonic() + self.bench.timeout
        peer.prepare()
        ended = {id(metered) for metered in peer.metered if metered.poll() is not None}
        for metered in peer.metered:
            metered.forget_peak()
        cpu = {id(metered): metered.cpu() for metered in peer.metered}
        wire = self.traffic()
        wanted = marks(prepared, None, peer.strictness) if prepared is not None else []
        if self.reserve is not None:
            self.reserve.free()
        change()
        begin = result.began = time.monotonic()
        wanted = wanted or marks(peer.source, paths, peer.strictness)
        with sampling(peer.metered), _arriving(peer, wanted, begin, deadline, arrivals):
            with self.bench.during(f"waiting for {result.title}"):
                peer.transfer(wanted, deadline)
            result.seconds = time.monotonic() - begin
        result.sender_bytes, result.segment_bytes = self.sent_since(wire)
        if isinstance(peer, L2sync):
            with self.bench.during(f"waiting for the agent's word on {result.title}"):
                peer.flush(deadline - time.monotonic())
            result.figures["flushed_after"] = time.monotonic() - begin
        peer.conclude()
        self._bill(result, cpu, ended)
        if self.reserve is not None:
            with self.bench.during("filling memory"):
                self.reserve.hold()
        self.judge(result)

    def traffic(self) -> list[int]:
        """Bytes that each of the peer's hosts has sent."""
        return [port.sent for port in self.lab.traffic()[: len(self.peer.hosts)]]

    def sent_since(self, before: list[int]) -> tuple[int, int]:
        """Bytes sent since then: by the sender, and by all."""
        sent = [now - then for now, then in zip(self.traffic(), before, strict=True)]
        return sent[0], sum(sent)

    @contextmanager
    def reserving(self, size: int) -> Iterator[None]:
        """Between measured changes hold as much memory as each will take, where trees lie in memory."""
        reserve = self.reserve = Reserve(self.bench.workdir, size)
        try:
            with self.bench.during("filling memory"):
                reserve.hold()
            yield
        finally:
            reserve.free()
            self.reserve = None

    def judge(self, result: Result) -> None:
        """Compare all trees with the source, as strictly as the peer claims."""
        peer, deadline = self.peer, time.monotonic() + _TIDYING
        for number, tree in enumerate(peer.trees[1:], 1):
            with self.bench.during(f"comparing host{number}'s tree with the source after {result.title}"):
                while found := difference(peer.source, tree, peer.strictness):
                    if not peer.live or time.monotonic() > deadline:
                        break
                    time.sleep(0.2)
            result.differences += found

    @contextmanager
    def unshaped(self) -> Iterator[None]:
        """Lift the limits of all ports meanwhile, for what is not measured."""
        self.lab.shape(0)
        try:
            yield
        finally:
            self.lab.shape(self.conditions.rate)

    def slow_down(self, host: Host, rate: float) -> None:
        """Shape one host's port to `rate` Mbit/s, both ways."""
        bucket = max(16_384, 2 * self.conditions.mtu)
        shape = f"tbf rate {round(rate * 1e6)}bit burst {bucket} limit {1 << 20}".split()
        for namespace, interface in ((host.namespace, host.interface), (self.lab.bridge, host.port)):
            command = ["tc", "-n", namespace, "qdisc", "replace", "dev", interface, "root", *shape]
            subprocess.run(command, check=True, capture_output=True)

    def _bill(self, result: Result, before: dict[int, float], ended: set[int]) -> None:
        active = [metered for metered in self.peer.metered if id(metered) not in ended]
        spent = {id(metered): metered.cpu() - before.get(id(metered), 0.0) for metered in active}
        others = [spent[id(metered)] for metered in active if metered.role != SENDER]
        result.cpu = sum(spent.values())
        result.cpu_sender = result.cpu - sum(others)
        result.cpu_worst_receiver = max(others, default=0.0)
        result.peak = max((metered.peak() for metered in active), default=0)


@contextmanager
def _arriving(
    peer: Peer, wanted: list[Mark], begin: float, deadline: float, arrivals: dict[int, float] | None
) -> Iterator[None]:
    """Note in a thread when each receiver has everything; ends when all have, or with the deadline."""
    if arrivals is None:
        yield
        return
    finished = threading.Event()

    def look() -> None:
        places = {host.number: (tree, 0) for host, tree in peer.receivers}
        while places and time.monotonic() < deadline and not finished.is_set():
            for number, (tree, place) in list(places.items()):
                while place < len(wanted) and wanted[place].shown_by(tree):
                    place += 1
                places[number] = (tree, place)
                if place == len(wanted):
                    arrivals[number] = time.monotonic() - begin
                    del places[number]
            time.sleep(0.01)

    watching = threading.Thread(target=look)
    watching.start()
    try:
        yield
        watching.join(timeout=5.0)
    finally:
        finished.set()
        watching.join()


def _retire(place: Path, old: Path) -> None:
    """Out of the way without disturbing what follows: deleting much slows ext4 down for minutes, tmpfs never."""
    if not place.exists():
        return
    if is_tmpfs(place):
        shutil.rmtree(place, ignore_errors=True)
        return
    old.mkdir(exist_ok=True)
    place.rename(Path(tempfile.mkdtemp(dir=old)) / place.name)
