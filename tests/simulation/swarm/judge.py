"""When all is quiet again: what must hold of every node's tree, judged from what was written down."""

from __future__ import annotations

from l2sync.modtree import Entry, Kind, TreePath, parent
from l2sync.modtree.merge import is_conflict_copy

from .host import Host
from .ledger import Instance, Violation, thing_of
from .store import look_of
from .world import World


def judge(world: World) -> None:
    """Raises Violation."""
    hosts = world.hosts
    for host in hosts:
        _index_and_disk_agree(host)
        _nothing_left(host)
    first = hosts[0].store.index.entries
    for host in hosts[1:]:
        for path in sorted(first.keys() | host.store.index.entries.keys()):
            if first.get(path) != host.store.index.get(path):
                raise Violation(
                    f"not equal: {path!r} is {_told(first.get(path))} at web0, "
                    f"{_told(host.store.index.get(path))} at {host.name}"
                )
    _nothing_lost(world)
    _as_the_rules_say(world)


def _told(entry: Entry | None) -> str:
    if entry is None:
        return "unknown"
    return (
        f"{entry.kind.name} {entry.size} B mode {entry.mode:o} mtime {entry.mtime_ns} by {entry.author} {entry.version}"
    )


# --- one host --------------------------------------------------------------------------------------


def _index_and_disk_agree(host: Host) -> None:
    store, node = host.store, host.node
    assert node is not None
    for path in sorted(set(store.volume.live) | set(store.index.entries)):
        if store.observe(path).look() != look_of(store.index.get(path)):
            raise Violation(f"index and disk differ at {host.name}: {path!r}")
        if node.trees[store.name].tree.get(path) != store.index.get(path):
            raise Violation(f"index and node differ at {host.name}: {path!r}")


def _nothing_left(host: Host) -> None:
    node = host.node
    assert node is not None
    waiting = {
        "staged batches": len(host.store.staged),
        "incoming batches": len(node.receiving.batches),
        "outgoing batches": len(node.offering.batches),
        "locks": len(node.cluster.locks),
        "journal": len(host.store.index.journal),
        "unanswered messages": len(node.cluster.messenger.tracker.by_serial),
        "messages in queues": node.cluster.messenger.backlog(),
        "bytes not stored": node.receiving.backlog,
        "commits": len(node.receiving.turns),
        "plans": len(node.receiving._own),
        "stamps": len(node.receiving._touched),
    }
    for what, count in waiting.items():
        if count:
            raise Violation(f"left over at {host.name}: {count} {what}")
    if host.longest_queue > 20_000:
        raise Violation(f"unbounded: {host.longest_queue} effects at once at {host.name}")


# --- nothing lost ----------------------------------------------------------------------------------


def _is_copy_of(copy: TreePath, path: TreePath) -> bool:
    if not is_conflict_copy(copy) or parent(copy) != parent(path):
        return False
    leaf, stem = copy[len(parent(copy)) :].lstrip(b"/"), path[len(parent(path)) :].lstrip(b"/")
    shortened = stem.rpartition(b".")[0] or stem
    return leaf.startswith((stem, shortened))


def _nothing_lost(world: World) -> None:
    ledger = world.ledger
    standing: set[Instance] = {(path, thing_of(inode)) for path, inode in world.hosts[0].store.volume.live.items()}
    by_thing: dict[object, list[TreePath]] = {}
    for path, thing in standing:
        by_thing.setdefault(thing, []).append(path)
    ended: dict[object, list[TreePath]] = {}
    for path, thing in ledger.ended:
        ended.setdefault(thing, []).append(path)
    for (path, thing), who in ledger.made.items():
        if (path, thing) in standing:
            continue
        if any(known == path or _is_copy_of(known, path) for known in ended.get(thing, ())):
            continue
        if thing[0] is not Kind.DIR and any(_is_copy_of(known, path) for known in by_thing.get(thing, ())):
            continue
        raise Violation(f"lost: {thing[0].name} {path!r} of {who}, which nobody replaced")


# --- the rules of the merger, told once more -------------------------------------------------------


def _saw(one: Entry, other: Entry) -> bool:
    """Whether who wrote one had the other before him."""
    replica, counter = other.dot
    return one.dot != other.dot and dict(one.version.dots).get(replica, 0) >= counter


def _rank(entry: Entry) -> tuple[object, ...]:
    kinds = {Kind.DIR: 4, Kind.FILE: 3, Kind.LINK: 2, Kind.TOMBSTONE: 0}
    return kinds[entry.kind], entry.mtime_ns, entry.dot


def _beat(one: Entry, other: Entry, written: dict[tuple[int, int], Entry]) -> bool:
    """Whether the other had lost already, to a version that this one then replaced."""
    return any(
        _saw(one, third) and not _saw(third, other) and not _saw(other, third) and _rank(third) > _rank(other)
        for third in written.values()
        if third.dot != other.dot
    )


def _as_the_rules_say(world: World) -> None:
    """Of the versions as they were written, the one stands that no later one has seen; of several, the greatest."""
    final, tainted = world.hosts[0].store.index.entries, world.ledger.tainted
    for path, entries in sorted(world.ledger.versions.items()):
        written: dict[tuple[int, int], Entry] = {}
        for entry in entries:
            known = written.get(entry.dot)
            if known is None or known.version.covers(entry.version):
                written[entry.dot] = entry
        heard = {replica for entry in entries for replica, _ in entry.version.dots}
        if not written or heard & tainted:
            continue  # of a state that fell back, not everything is known
        latest = [e for e in written.values() if not any(_saw(other, e) for other in written.values())]
        if not latest:
            raise Violation(f"in a circle: each version of {path!r} was written in knowledge of another")
        wanted, stands = max(latest, key=_rank), final.get(path)
        if stands is not None and stands.deleted and wanted.deleted:
            continue  # nobody sees which of several deletions it was
        if stands is not None and not stands.dot[1]:
            continue  # a restore gave up what only this node had known
        if stands is not None and any(
            _beat(e, wanted, written) for e in latest if e.dot == stands.dot or _rank(e) < _rank(stands)
        ):
            continue  # it had lost to what stands, or to what was replaced by what lost to what stands
        if stands is None or stands.dot != wanted.dot or stands.look() != wanted.look():
            raise Violation(f"wrong winner: {path!r} is {_told(stands)}, the rules say {_told(wanted)}")
