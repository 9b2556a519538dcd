"""What users did and what nodes made of it, written down as it happens; some rules are checked on the spot."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from blake3 import blake3

from l2sync.cluster import Granted, PeerState
from l2sync.cluster.locks import Claim
from l2sync.modtree import Entry, Kind, Observation, TreePath
from l2sync.modtree.merge import is_conflict_copy
from l2sync.node import api

if TYPE_CHECKING:
    from .host import Host
    from .volume import Inode
    from .world import World

Thing = tuple[Kind, bytes]
"""What makes a version worth keeping: the kind, and a file's bytes (their hash) or a link's target."""
Instance = tuple[TreePath, Thing]


class Violation(AssertionError):
    """A promise is broken."""


def thing_of(inode: Inode) -> Thing:
    if inode.kind is Kind.FILE:
        return inode.kind, blake3(inode.data).digest()
    return inode.kind, inode.target


def thing_of_entry(entry: Observation) -> Thing:
    return entry.kind, entry.chunks if entry.kind is Kind.FILE else entry.target


class Ledger:
    """``made``: what users put where; ``ended``: what a user who saw it there replaced, moved or removed."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.lines: list[str] = []
        self.known: set[bytes] = {blake3(b"").digest()}
        """Hashes of all contents that any user (or a power loss amid a user's writing) ever left in a file."""
        self.made: dict[Instance, str] = {}
        self.ended: set[Instance] = set()
        self.secured: dict[int, dict[TreePath, Thing]] = {}
        """By host: what its index has known to stand on its disk: from then on no power loss is an excuse."""
        self.buried: dict[int, set[TreePath]] = {}
        """By host: what its index has known to be deleted there."""
        self.versions: dict[TreePath, dict[Entry, int]] = {}
        """Every version that came to any index, with the host that had it first."""
        self.dots: dict[tuple[int, int], tuple[TreePath, Thing]] = {}
        self.tainted: set[int] = set()
        """Replicas whose index was put back: their counters may have counted something else before."""
        self.counts: Counter[str] = Counter()
        self._granted: dict[int, dict[int, frozenset[int]]] = {}
        """By host, its granted claims, each with the sessions it saw online then."""

    def say(self, text: str) -> None:
        """One line of history."""
        self.lines.append(f"{(self.world.now - 1_000_000_000) / 1e6:9.1f} ms  {text}")

    # --- users ------------------------------------------------------------------------------------

    def acted(self, host: Host, before: dict[TreePath, Thing], after: dict[TreePath, Thing]) -> None:
        """A user has changed these paths."""
        for path in before.keys() | after.keys():
            old, new = before.get(path), after.get(path)
            if old == new:
                continue
            self.buried.get(host.number, set()).discard(path)
            if old is not None:
                self.ended.add((path, old))
                self.secured.get(host.number, {}).pop(path, None)
            if new is not None:
                self.made.setdefault((path, new), f"web{host.number} at {self.world.now // 1_000_000} ms")
                if new[0] is not Kind.DIR:  # an empty one is any empty one: what comes back is nothing new
                    self.ended.discard((path, new))
                if new[0] is Kind.FILE:
                    self.known.add(new[1])

    def power_lost(self, host: Host, before: dict[TreePath, Thing], after: dict[TreePath, Thing]) -> None:
        """What was not on its disk is gone; that is no fault where the agent had not known of it either."""
        secured, buried = self.secured.get(host.number, {}), self.buried.get(host.number, set())
        for path in sorted(before.keys() | after.keys()):
            old, new = before.get(path), after.get(path)
            if old == new:
                continue
            if old is not None and secured.get(path) == old:
                raise Violation(f"not durable: {host.name} had {path!r} in its index, and the power loss took it")
            if old is None and path in buried:
                raise Violation(
                    f"resurrected: {host.name} had {path!r} deleted in its index, the power loss gave it back"
                )
            if old is not None:
                self.ended.add((path, old))
            if new is not None and new[0] is Kind.FILE:
                self.known.add(new[1])

    # --- nodes ------------------------------------------------------------------------------------

    def started(self, host: Host) -> None:
        """An agent has started: hear what it is granted."""
        node = host.node
        assert node is not None
        self._granted[host.number] = {}
        handle = node._handle

        def listen(event: object, now: int) -> None:
            if isinstance(event, Granted):
                self._was_granted(host, event.number)
            handle(event, now)  # type: ignore[arg-type]

        node._handle = listen  # type: ignore[method-assign]

    def notified(self, host: Host, effect: api.Notify) -> None:
        """A node tells its log something."""
        self.counts[effect.event] += 1
        if effect.level != "debug":
            told = " ".join(f"{key}={value}" for key, value in effect.fields.items())
            self.say(f"{host.name}: {effect.event} {told}")

    def stepped(self, host: Host) -> None:
        """A step of disk work is done: look at what came to the index, and at what users can see."""
        store = host.store
        for entry in store.noted:
            self._indexed(host, entry)
        store.noted.clear()
        for path, inode in store.shown:
            if inode.kind is Kind.FILE and blake3(inode.data).digest() not in self.known:
                raise Violation(f"torn: {host.name} shows {path!r} with {len(inode.data)} bytes that nobody wrote")
        store.shown.clear()

    def _indexed(self, host: Host, entry: Entry) -> None:
        if entry.dot[1]:  # else it is nobody's write: what a restore undid
            self.versions.setdefault(entry.path, {}).setdefault(entry, host.number)
        inode = host.store.volume.live.get(entry.path)
        secured = self.secured.setdefault(host.number, {})
        secured.pop(entry.path, None)
        if inode is None and entry.deleted:
            self.buried.setdefault(host.number, set()).add(entry.path)
        elif inode is not None and not entry.deleted and host.store.observe(entry.path).look() == entry.look():
            secured[entry.path] = thing_of(inode)
        if not entry.dot[1] or entry.dot[0] in self.tainted or is_conflict_copy(entry.path):
            return  # (a conflict copy bears the dot of the version that it is a copy of)
        said = self.dots.setdefault(entry.dot, (entry.path, thing_of_entry(entry)))
        if said != (entry.path, thing_of_entry(entry)):
            raise Violation(f"one dot, two versions: {entry.dot} names {said[0]!r} and {entry.path!r}, or two contents")

    def forget(self, host: Host) -> None:
        """A host's index was put back: versions that nobody else has ever heard of never were."""
        self.tainted.add(host.store.index.replica)
        told: set[tuple[TreePath, Entry]] = set()
        for other in self.world.hosts:
            if other is not host:
                told |= set(other.store.index.entries.items())
        for path, entries in self.versions.items():
            for entry in [e for e, first in entries.items() if first == host.number and (path, e) not in told]:
                if host.store.index.get(path) != entry or entry.dot[0] == host.store.index.replica:
                    del entries[entry]

    def gave_up(self, host: Host, path: TreePath) -> None:
        """A restore is to put there what the others have: versions that nobody else has are gone."""
        others = [other.store.index.get(path) for other in self.world.hosts if other is not host]
        versions = self.versions.get(path, {})
        for entry in list(versions):
            if not any(other is not None and other.version.covers(entry.version) for other in others):
                del versions[entry]

    # --- locks ------------------------------------------------------------------------------------

    def _was_granted(self, host: Host, number: int) -> None:
        node = host.node
        assert node is not None
        online = frozenset(p.session for p in node.cluster.peers.values() if p.state is PeerState.ONLINE)
        self._granted[host.number][number] = online
        mine = node.cluster.locks.get(node.cluster.session, number)
        if mine is None:
            return
        for other in self.world.running():
            if other is host or other.node is None:
                continue
            for theirs, seen in self._standing(other):
                if theirs.session in online and node.cluster.session in seen and mine.overlaps(theirs):
                    raise Violation(
                        f"two holders: {host.name} and {other.name} both hold {sorted(set(mine.paths + theirs.paths))}"
                    )

    def _standing(self, host: Host) -> list[tuple[Claim, frozenset[int]]]:
        node = host.node
        assert node is not None
        found = []
        for number, online in list(self._granted[host.number].items()):
            claim = node.cluster.locks.get(node.cluster.session, number)
            if claim is None:
                del self._granted[host.number][number]
            else:
                found.append((claim, online))
        return found
