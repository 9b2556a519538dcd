"""Whole nodes on simulated disks and a simulated segment, in simulated time, from one seed."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from l2sync.cluster import BanRecord, Way
from l2sync.frames import Keyring
from l2sync.link import Rules, SimulatedSegment
from l2sync.modtree import TreePath, covers
from l2sync.node import Node
from l2sync.node.api import Answer, Notify, Observed, RememberBans, RememberIds, Send, SendRun

from .disk import SimDisk

MS = 1_000_000
SECOND = 1_000_000_000
KEY = bytes(range(32))


@dataclass
class Host:
    """One host: its disk and registry outlive its agent."""

    number: int
    name: str
    port: int
    disk: SimDisk
    registry: dict[str, int] = field(default_factory=dict)
    bans: tuple[BanRecord, ...] = ()
    node: Node | None = None
    answers: dict[int, Answer] = field(default_factory=dict)
    notes: list[Notify] = field(default_factory=list)
    life: int = 0
    mtu: int | None = None
    """Of its interface, where it is not the segment's."""
    slow: int = 0
    """ns by which its disk takes longer than the others'."""
    wall: int | None = None
    """The time of day at the world's beginning, in seconds since 1970; None: its agent is never told."""


class World:
    """Hosts on one segment. ``disk_delay``: ns that each disk request takes."""

    def __init__(self, hosts: int, seed: int = 0, rules: Rules | None = None, disk_delay: int = 200_000) -> None:
        self.rng = Random(seed)
        self.now = SECOND
        self.segment = SimulatedSegment(Random(seed + 1), rules or Rules())
        self.disk_delay = disk_delay
        self.destination = Way.BROADCAST
        self.hosts: list[Host] = []
        self._ports: dict[int, Host] = {}
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._order = 0
        for _ in range(hosts):
            self.add()

    def add(self) -> Host:
        """One more host, its agent not started."""
        number = len(self.hosts)
        port = self.segment.add_port()
        host = Host(number, f"web{number}", port, SimDisk("www", self.rng.getrandbits(64)))
        self.hosts.append(host)
        self._ports[port] = host
        return host

    def start(self, *hosts: Host) -> None:
        """Start agents (all if none is named)."""
        for host in hosts or self.hosts:
            host.life += 1
            host.node = Node(
                name=host.name,
                session=self.rng.getrandbits(64),
                nonce=self.rng.randbytes(8),
                trees=[host.disk.setup()],
                keyring=Keyring("sim", {1: KEY}, 1),
                mtu=host.mtu or self.segment.rules.mtu,
                registry=host.registry,
                bans=host.bans,
                destination=self.destination,
                rng=Random(self.rng.getrandbits(32)),
            )
            if host.wall is not None:
                host.node.tell_wall(host.wall + self.now // SECOND, self.now)
                self._at(self.now + 2 * SECOND, lambda h=host, n=host.life: self._tell_wall(h, n))
            host.node.start(self.now)
            self._effects(host)
            self._report(host, host.disk.scan(None))

    def _tell_wall(self, host: Host, life: int) -> None:
        if host.life == life and host.node is not None and host.wall is not None:
            host.node.tell_wall(host.wall + self.now // SECOND, self.now)
            self._effects(host)
            self._at(self.now + 2 * SECOND, lambda: self._tell_wall(host, life))

    def kill(self, host: Host) -> None:
        """The agent is gone between two instructions; what it staged is lost."""
        host.node = None
        host.life += 1
        host.disk.staged.clear()

    def touch(self, host: Host, *paths: TreePath) -> None:
        """The watcher has seen changes: scan after the settle time."""
        life = host.life
        self._at(self.now + 5 * MS, lambda: self._rescan(host, life, paths))

    def _rescan(self, host: Host, life: int, paths: tuple[TreePath, ...]) -> None:
        if host.life == life and host.node is not None:
            seen = host.disk.scan(None)
            near = tuple(o for o in seen.observations if any(covers(p, o.path) or covers(o.path, p) for p in paths))
            self._report(host, Observed("www", near, unreadable=seen.unreadable))

    def write(self, host: Host, path: bytes, data: bytes) -> None:
        """A user writes a file."""
        self.touch(host, host.disk.write(path, data, self.now))

    def delete(self, host: Host, path: bytes) -> None:
        """A user removes a file or a directory."""
        self.touch(host, host.disk.delete(path))

    def rename(self, host: Host, source: bytes, target: bytes) -> None:
        """A user moves a file or a directory."""
        self.touch(host, *host.disk.rename(source, target))

    # --- running ----------------------------------------------------------------------------------

    def _at(self, time: int, action: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._queue, (time, self._order, action))

    def _report(self, host: Host, event: object) -> None:
        if host.node is not None:
            host.node.disk_reported(event, self.now)  # type: ignore[arg-type]
            self._effects(host)

    def _effects(self, host: Host) -> None:
        assert host.node is not None
        for effect in host.node.take_effects():
            if isinstance(effect, Send):
                self.segment.transmit(host.port, effect.frame, effect.address, self.now)
            elif isinstance(effect, SendRun):
                for frame in effect.frames:
                    self.segment.transmit(host.port, frame, effect.address, self.now)
            elif isinstance(effect, Answer):
                host.answers[effect.request] = effect
            elif isinstance(effect, Notify):
                host.notes.append(effect)
            elif isinstance(effect, RememberIds):
                host.registry = dict(effect.registry)
            elif isinstance(effect, RememberBans):
                host.bans = effect.records
            else:
                event = host.disk.handle(effect)
                if event is not None:
                    life = host.life
                    done = self.now + self.disk_delay + host.slow
                    self._at(done, lambda e=event, n=life: self._answer(host, n, e))

    def _answer(self, host: Host, life: int, event: object) -> None:
        if host.life == life:
            self._report(host, event)

    def run(self, duration: int, until: Callable[[], bool] | None = None) -> bool:
        """Let time pass (ns); stops early, and returns True, once ``until`` holds."""
        end = self.now + duration
        while self.now < end:
            if until is not None and until():
                return True
            times = [end]
            if self._queue:
                times.append(self._queue[0][0])
            following = self.segment.next_time()
            if following is not None:
                times.append(following)
            due = (host.node.next_deadline(self.now) for host in self.hosts if host.node is not None)
            times += [max(time, self.now) for time in due if time is not None]
            self.now = max(self.now, min(times))
            self._step()
        return until is not None and until()

    def _step(self) -> None:
        for time, port, payload, source in self.segment.deliver(self.now):
            host = self._ports[port]
            if host.node is not None:
                host.node.receive(payload, time, source)
                self._effects(host)
        while self._queue and self._queue[0][0] <= self.now:
            heapq.heappop(self._queue)[2]()
        for host in self.hosts:
            node = host.node
            if node is not None and (due := node.next_deadline(self.now)) is not None and due <= self.now:
                node.handle_timer(self.now)
                self._effects(host)

    # --- looking ----------------------------------------------------------------------------------

    def running(self) -> list[Host]:
        """Hosts whose agent runs."""
        return [host for host in self.hosts if host.node is not None]

    def joined(self) -> bool:
        """Whether all running nodes are members and see each other."""
        nodes = [host.node for host in self.running() if host.node is not None]
        ids = {node.cluster.id for node in nodes}
        return len(ids) == len(nodes) and all(
            {p.id for p in node.ctx.online()} == ids - {node.cluster.id} for node in nodes
        )

    def in_sync(self) -> bool:
        """Whether all running nodes say so of themselves."""
        return self.joined() and all(h.node is not None and h.node.status(self.now).in_sync for h in self.running())

    def same(self) -> bool:
        """Whether all running hosts' disks hold the same."""
        trees = [host.disk.tree() for host in self.running()]
        return all(tree == trees[0] for tree in trees)
