"""The world of a swarm run: hosts that crash, stall and lose their state, and disks that take their time."""

from __future__ import annotations

from random import Random

from l2sync.modtree import TreePath
from l2sync.node import Node
from l2sync.node.api import Answer, Commit, Notify, RememberIds, Send, TreePaused, TreeResumed
from tests.simulation.world import MS, Host, World

from .crashdisk import CrashDisk
from .history import History

_COMMIT_STEP = 2 * MS


class Arena(World):
    """A world whose hosts have `CrashDisk`s, and whose history is kept."""

    def __init__(self, hosts: int, seed: int) -> None:
        self.history = History()
        self.chaos = Random(seed + 2)
        self.slowness: dict[int, int] = {}
        self._asleep: dict[int, tuple[Node, int]] = {}
        self.backups: dict[int, tuple[dict[object, object], int, int]] = {}
        self.wall: dict[int, int] = {}
        super().__init__(hosts, seed)

    def add(self) -> Host:
        """One more host, its agent not started."""
        host = super().add()
        disk = CrashDisk("www", host.disk.replica)
        disk.rng = Random(self.chaos.getrandbits(32))
        host.disk = disk
        return host

    def disk(self, host: Host) -> CrashDisk:
        """The host's disk, as what it is."""
        assert isinstance(host.disk, CrashDisk)
        return host.disk

    def crash(self, host: Host, power: bool = False) -> None:
        """The agent, or the whole host, is gone between two instructions."""
        host.node = None
        host.life += 1
        self._asleep.pop(host.number, None)
        self.disk(host).crash(power)

    def revive(self, host: Host) -> None:
        """Start the agent on what the crash has left."""
        self.disk(host).adopt()
        self.start(host)

    def down(self, host: Host) -> bool:
        """Whether no agent runs there, awake or asleep."""
        return host.node is None and host.number not in self._asleep

    def wall_ns(self, host: Host) -> int:
        """What the host's clock says, which is not what time it is."""
        return self.now + self.wall.get(host.number, 0)

    def _effects(self, host: Host) -> None:
        assert host.node is not None
        for effect in host.node.take_effects():
            if isinstance(effect, Send):
                self.segment.transmit(host.port, effect.frame, effect.address, self.now)
            elif isinstance(effect, Answer):
                host.answers[effect.request] = effect
            elif isinstance(effect, Notify):
                host.notes.append(effect)
            elif isinstance(effect, RememberIds):
                host.registry = dict(effect.registry)
            elif isinstance(effect, Commit):
                self.disk(host).begin(effect)
                self._later(host, _COMMIT_STEP)
            else:
                self.history.persisted(effect)
                event = host.disk.handle(effect)
                if event is not None:
                    life, delay = host.life, self._delay(host)
                    self._at(self.now + delay, lambda e=event, n=life: self._answer(host, n, e))

    def _delay(self, host: Host) -> int:
        return self.disk_delay + self.chaos.randrange(1 + self.slowness.get(host.number, MS))

    def _later(self, host: Host, delay: int) -> None:
        life = host.life
        self._at(self.now + delay, lambda: self._advance(host, life))

    def _advance(self, host: Host, life: int) -> None:
        if host.life != life or not self.disk(host).committing:
            return
        event = self.disk(host).advance()
        if event is not None:
            for entry in event.applied:
                self.history.applied(entry)
            self._at(self.now + self.disk_delay, lambda: self._answer(host, life, event))
        else:
            self._later(host, self.chaos.randrange(1, _COMMIT_STEP))

    # --- stalls: a host that gets no processor time ----------------------------------------------

    def stall(self, host: Host, duration: int) -> None:
        """The node sees no frame and no time pass; what the disk has to say waits."""
        if host.node is None:
            return
        life = host.life
        self._asleep[host.number] = (host.node, self.now + duration)
        host.node = None
        self._at(self.now + duration, lambda: self._wake(host, life))

    def _wake(self, host: Host, life: int) -> None:
        node, _ = self._asleep.pop(host.number, (None, 0))
        if host.life == life and node is not None:
            host.node = node

    def _report(self, host: Host, event: object) -> None:
        if host.number in self._asleep:
            life = host.life
            self._at(self._asleep[host.number][1] + 1, lambda: self._answer(host, life, event))
        else:
            super()._report(host, event)

    def _rescan(self, host: Host, life: int, paths: tuple[TreePath, ...]) -> None:
        if host.number in self._asleep:
            self._at(self._asleep[host.number][1] + 1, lambda: self._rescan(host, life, paths))
        else:
            super()._rescan(host, life, paths)

    def pause(self, host: Host, duration: int) -> str | None:
        """The disk says that the tree cannot be trusted for a while."""
        if self.down(host):
            return None
        life = host.life
        self._report(host, TreePaused("www", "simulated"))
        self._at(self.now + duration, lambda: self._answer(host, life, TreeResumed("www")))
        return f"{duration / 1e9} s"

    # --- state that is not what it was -------------------------------------------------------------

    def back_up(self, host: Host) -> None:
        """Keep the state directory as it is now."""
        self.backups[host.number] = (dict(host.disk.index), host.disk.counter, host.disk.replica)

    def roll_back(self, host: Host) -> None:
        """The state directory as it was when it was backed up."""
        index, counter, replica = self.backups.get(host.number, ({}, 0, host.disk.replica))
        host.disk.index = dict(index)  # type: ignore[arg-type]
        host.disk.counter, host.disk.replica = counter, replica
        self.disk(host).journal.clear()

    def forget(self, host: Host) -> None:
        """The state directory is gone: a new replica, nothing known."""
        host.disk.index, host.disk.counter = {}, 0
        host.disk.replica = self.rng.getrandbits(64)
        self.disk(host).journal.clear()
        host.registry = {}

    def shape(self, **rules: object) -> None:
        """Change how the segment treats frames."""
        self.segment.set_rules(**rules)

    def calm(self) -> None:
        """Nothing is lost, late or refused any more."""
        self.segment.heal()
        self.segment.set_rules(loss=0.0, duplication=0.0, jitter=0)
        self.slowness.clear()
        for host in self.hosts:
            self.disk(host).refusals = 0.0
