"""The rules that every run has to keep, checked from outside: on the disks, the index, and the users' own history."""

from __future__ import annotations

from l2sync.modtree import Kind, Order, TreePath
from l2sync.node import Node as ProtocolNode
from tests.simulation.world import Host

from .arena import Arena

_MOST_BATCHES = 400
_MOST_EFFECTS = 10_000


def watch(arena: Arena) -> list[str]:
    """What must hold at every moment."""
    return _torn(arena) + _two_holders(arena) + _unbounded(arena)


def judge(arena: Arena) -> list[str]:
    """What must hold once all is healed and quiet."""
    faults = _unequal(arena)
    if faults:
        return faults
    for host in arena.hosts:
        faults += _index_and_disk(arena, host) + _merged(arena, host)
    return faults + _lost(arena) + _vanished(arena) + _risen(arena)


# --- at every moment -----------------------------------------------------------------------------


def _torn(arena: Arena) -> list[str]:
    known = arena.history.contents
    return [
        f"torn: {host.name}:{path.decode()} holds bytes that nobody wrote: {node.data[:20]!r}"
        for host in arena.hosts
        for path, node in host.disk.files.items()
        if node.kind is Kind.FILE and node.data not in known
    ]


def _awake(arena: Arena) -> list[ProtocolNode]:
    return [host.node for host in arena.hosts if host.node is not None]


def _two_holders(arena: Arena) -> list[str]:
    held = [
        (node, claim)
        for node in _awake(arena)
        for claim in node.cluster.locks
        if claim.granted and claim.session == node.cluster.session
    ]
    return [
        f"two holders: {one.ctx.name} and {other.ctx.name} hold {mine.paths} and {theirs.paths}"
        for number, (one, mine) in enumerate(held)
        for other, theirs in held[number + 1 :]
        if one is not other and mine.overlaps(theirs) and _see_each_other(one, other)
    ]


def _see_each_other(one: ProtocolNode, other: ProtocolNode) -> bool:
    return any(p.session == other.cluster.session for p in one.ctx.online()) and any(
        p.session == one.cluster.session for p in other.ctx.online()
    )


def _unbounded(arena: Arena) -> list[str]:
    faults = []
    for node in _awake(arena):
        sizes = {
            "incoming batches": (len(node.receiving.batches), _MOST_BATCHES),
            "outgoing batches": (len(node.offering.batches), _MOST_BATCHES),
            "effects": (len(node.ctx.effects), _MOST_EFFECTS),
        }
        faults += [f"unbounded: {node.ctx.name} has {n} {what}" for what, (n, most) in sizes.items() if n > most]
    return faults


# --- at the end ------------------------------------------------------------------------------------


def _unequal(arena: Arena) -> list[str]:
    first = arena.hosts[0].disk.tree()
    faults = []
    for host in arena.hosts[1:]:
        tree = host.disk.tree()
        odd = sorted(p for p in first.keys() | tree.keys() if first.get(p) != tree.get(p))
        if odd:
            faults.append(f"unequal: web0 and {host.name} differ in {[p.decode() for p in odd[:5]]}")
    return faults


def _index_and_disk(arena: Arena, host: Host) -> list[str]:
    faults = []
    seen = host.disk.scan(None).observations
    if seen:
        faults.append(f"index: {host.name}'s differs from its disk in {[o.path.decode() for o in seen[:5]]}")
    if host.node is not None:
        tree = host.node.trees["www"].tree
        odd = [p.decode() for p, e in host.disk.index.items() if tree.get(p) != e]
        if odd or len(tree) != len(host.disk.index):
            faults.append(f"index: {host.name}'s differs from its node's tree in {odd[:5]}")
        if host.node.receiving.batches:
            faults.append(f"left over: {host.name} has {len(host.node.receiving.batches)} incoming batches")
    if host.disk.staged:
        faults.append(f"left over: {host.name} has {len(host.disk.staged)} staged batches")
    return faults


def _merged(arena: Arena, host: Host) -> list[str]:
    """Each path's version has seen all recorded ones, and is one of those that no other replaces."""
    faults: list[str] = []
    if arena.history.lost_state:
        return faults  # what only the lost index knew is not to be had
    for path in arena.history.versions:
        final = host.disk.index.get(path)
        if final is None:
            faults.append(f"merge: {host.name} knows nothing of {path.decode()}")
            continue
        late = [
            entry
            for entry in arena.history.greatest(path)
            if entry.version.compare(final.version) not in (Order.BEFORE, Order.EQUAL)
        ]
        if late:
            faults.append(f"merge: {host.name}'s {path.decode()} has not seen a version of {late[0].author}")
    return faults


def _lost(arena: Arena) -> list[str]:
    standing = {node.data for node in arena.hosts[0].disk.files.values() if node.kind is Kind.FILE}
    return [
        f"lost: {data[:8]!r}, written by web{content.host} to {content.path.decode()} at {content.born / 1e9:.3f}"
        for data, content in arena.history.contents.items()
        if not content.dead and data not in standing
    ]


def _vanished(arena: Arena) -> list[str]:
    final: dict[TreePath, object] = dict(arena.hosts[0].disk.files)
    return [
        f"vanished: {path.decode()}, which no user ever removed"
        for path in sorted(arena.history.made)
        if path not in final and not arena.history.ever_removed(path)
    ]


def _risen(arena: Arena) -> list[str]:
    if arena.history.lost_state:
        return []  # who has lost the tombstones cannot know
    # A version may have got its conflict copy before its user replaced it.
    standing = {
        node.data: path
        for path, node in arena.hosts[0].disk.files.items()
        if node.kind is Kind.FILE and b".conflict-" not in path
    }
    return [
        f"risen: {data[:8]!r} stands at {standing[data].decode()}, though its user replaced or removed it"
        for data, content in arena.history.contents.items()
        if content.dead and not content.moved and data in standing
    ]
