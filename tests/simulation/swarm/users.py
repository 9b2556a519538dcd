"""What happens to a world: users at work, power and network failures, an administrator who restores old backups."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from blake3 import blake3

from l2sync.frames import Verdict
from l2sync.modtree import ROOT, InvalidPath, Kind, TreePath, ancestors, covers, name, parent, tree_path
from l2sync.node import api
from l2sync.node.tree import SharedTree

from .host import TREE, Host
from .index import Index
from .ledger import Thing, thing_of
from .plan import EPOCH, MS, SECOND, Operation
from .store import look_of
from .volume import Change, Inode
from .world import World


def content(seed: int, size: int) -> bytes:
    """Bytes that no other seed gives."""
    return blake3(seed.to_bytes(8, "big")).digest(length=size)


def _asks(shared: SharedTree) -> bool:
    """Whether a user has to decide something."""
    return shared.hold is not None or (shared.probation is not None and shared.probation.reason is not None)


class Users:
    """Carries out operations; what makes no sense as things stand is passed over."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._backups: dict[int, Index] = {}
        self._requests = 0
        for host in world.hosts:
            host.users = self
        self._held: dict[int, list[int]] = {}

    def do(self, op: Operation) -> None:
        """Let one operation happen."""
        host = self.world.hosts[op.host]
        act: Callable[[Host, Operation], str | None] = getattr(self, "do_" + op.do)
        outcome = act(host, op)
        if outcome != "nothing":
            self.world.ledger.say(f"{op.do} {host.name} {op.path} {op.to} {op.size or ''} {outcome or ''}".rstrip())

    # --- files ------------------------------------------------------------------------------------

    def change(self, host: Host, *changes: Change, writes: tuple[Inode, dict[str, object]] | None = None) -> None:
        """Change names, or one inode in place, as a user does; the times of the directories follow."""
        volume = host.store.volume
        paths = {path for path, _ in changes}
        if writes is not None:
            paths |= {path for path, inode in volume.live.items() if inode is writes[0]}
        before = self._things(host, paths)
        if writes is not None:
            writes[0].change(**writes[1])
        if changes:
            volume.set(*changes)
        for path in {parent(path) for path, _ in changes if path != ROOT}:
            if path in volume.live and volume.is_dir(path):
                volume.live[path].change(mtime_ns=self._clock(host))
                paths.add(path)
        self.world.ledger.acted(host, before, self._things(host, paths))
        host.touched(paths)

    def remove(self, host: Host, path: TreePath) -> None:
        """Take one thing out of the tree, if nothing is in it."""
        if path in host.store.volume.live and not host.store.volume.below(path):
            self.change(host, (path, None))

    def _things(self, host: Host, paths: set[TreePath]) -> dict[TreePath, Thing]:
        live = host.store.volume.live
        return {path: thing_of(live[path]) for path in paths if path in live}

    def _clock(self, host: Host) -> int:
        return EPOCH + self.world.now + host.wall

    def _path(self, raw: str) -> TreePath | None:
        try:
            return tree_path(raw.encode())
        except InvalidPath:
            return None

    def _parents(self, host: Host, path: TreePath) -> bool:
        """Make the directories above; False where something else stands in the way."""
        volume = host.store.volume
        for above in sorted(ancestors(path)):
            if above not in volume.live:
                self.change(host, (above, Inode(Kind.DIR, mode=0o755, mtime_ns=self._clock(host))))
            elif not volume.is_dir(above):
                return False
        return True

    def _create(self, host: Host, op: Operation, make: Callable[[int], Inode]) -> str | None:
        path = self._path(op.path)
        if path is None or path == ROOT or host.store.volume.is_dir(path) or not self._parents(host, path):
            return "nothing"
        self.change(host, (path, make(self._clock(host))))
        return None

    def do_save(self, host: Host, op: Operation) -> str | None:
        """Write aside and rename, as editors do."""
        return self._create(host, op, lambda now: Inode(Kind.FILE, content(op.seed, op.size), 0o644, now))

    def do_link(self, host: Host, op: Operation) -> str | None:
        target = content(op.seed, 8).hex().encode()
        return self._create(host, op, lambda now: Inode(Kind.LINK, mode=0o777, mtime_ns=now, target=target))

    def do_mkdir(self, host: Host, op: Operation) -> str | None:
        path = self._path(op.path)
        if path is None or path in host.store.volume.live or not self._parents(host, path):
            return "nothing"
        self.change(host, (path, Inode(Kind.DIR, mode=0o755, mtime_ns=self._clock(host))))
        return None

    def _file(self, host: Host, op: Operation) -> Inode | None:
        path = self._path(op.path)
        inode = host.store.volume.live.get(path) if path is not None else None
        return inode if inode is not None and inode.kind is Kind.FILE else None

    def _in_place(self, host: Host, inode: Inode | None, data: Callable[[bytes], bytes]) -> str | None:
        if inode is None:
            return "nothing"
        self.change(host, writes=(inode, {"data": data(inode.data), "mtime_ns": self._clock(host)}))
        return None

    def do_write(self, host: Host, op: Operation) -> str | None:
        """Truncate and write in two goes: whoever looks in between sees half of it."""
        path = self._path(op.path)
        if path is not None and path not in host.store.volume.live:
            return self.do_save(host, op)
        inode, whole = self._file(host, op), content(op.seed, op.size)
        half = op.size // 2

        def finish() -> None:
            if inode in host.store.volume.live.values():
                self._in_place(host, inode, lambda now: whole if now == whole[:half] else now)

        self.world.at(self.world.now + (op.seed % 120) * MS, finish)
        return self._in_place(host, inode, lambda _: whole[:half])

    def do_append(self, host: Host, op: Operation) -> str | None:
        more = content(op.seed, op.size)
        return self._in_place(host, self._file(host, op), lambda data: data[:200_000] + more)

    def do_truncate(self, host: Host, op: Operation) -> str | None:
        return self._in_place(host, self._file(host, op), lambda data: data[: len(data) // 2])

    def do_touch(self, host: Host, op: Operation) -> str | None:
        return self._in_place(host, self._file(host, op), lambda data: data)

    def do_chmod(self, host: Host, op: Operation) -> str | None:
        path = self._path(op.path)
        inode = host.store.volume.live.get(path) if path is not None else None
        if inode is None or inode.kind is Kind.LINK:
            return "nothing"
        mode = 0o700 | (op.seed & 0o077)
        self.change(host, writes=(inode, {"mode": mode}))
        return None

    def do_delete(self, host: Host, op: Operation) -> str | None:
        """Remove a path and all below it, name by name."""
        path, volume = self._path(op.path), host.store.volume
        if path is None or path == ROOT or path not in volume.live:
            return "nothing"
        for gone in [*reversed(volume.below(path)), path]:
            self.change(host, (gone, None))
        return None

    def do_rename(self, host: Host, op: Operation) -> str | None:
        """Move a path and all below it; what stands at the target goes, if it can."""
        old, new, volume = self._path(op.path), self._path(op.to), host.store.volume
        if old is None or new is None or ROOT in (old, new) or old not in volume.live or covers(old, new):
            return "nothing"
        if covers(new, old) or volume.below(new) or not self._parents(host, new):
            return "nothing"
        if new in volume.live and volume.is_dir(old) != volume.is_dir(new):
            return "nothing"
        moved: list[Change] = []
        for path in [old, *volume.below(old)]:
            moved += [(path, None), (TreePath(new + path[len(old) :]), volume.live[path])]
        self.change(host, *moved)
        return None

    def do_turn(self, host: Host, op: Operation) -> str | None:
        """Something of another kind takes the path."""
        path, volume = self._path(op.path), host.store.volume
        if path is None or path not in volume.live:
            return "nothing"
        was_dir = volume.is_dir(path)
        self.do_delete(host, op)
        if was_dir:
            return self.do_save(host, op)
        return (self.do_mkdir if op.seed & 1 else self.do_link)(host, op)

    def do_sync(self, host: Host, op: Operation) -> str | None:
        """The kernel writes back all there is."""
        host.store.volume.sync_all()
        return None

    def do_ambush(self, host: Host, op: Operation) -> str | None:
        """The next commit here finds a user at work on one of its paths."""
        rng = Random(op.seed)

        def strike(paths: tuple[TreePath, ...]) -> None:
            if not paths:
                return
            path = rng.choice(paths)
            raw = path.decode()
            what = rng.choice(("save", "save", "delete", "append", "chmod", "rename", "mkdir", "touch"))
            if what == "mkdir":
                raw += "/new"
            self.do(Operation(op.at, what, op.host, raw, raw + ".moved", op.size, op.seed))

        host.ambushes.append(strike)
        return None

    # --- faults -----------------------------------------------------------------------------------

    def do_kill(self, host: Host, op: Operation) -> str | None:
        if host.node is None:
            return "nothing"
        host.stop()
        return None

    def do_start(self, host: Host, op: Operation) -> str | None:
        if host.node is not None:
            return "nothing"
        host.start()
        return None

    def do_power(self, host: Host, op: Operation) -> str | None:
        """The power fails."""
        host.stop()
        before = self._things(host, set(host.store.volume.live))
        host.store.lose_power(Random(op.seed))
        after = self._things(host, set(host.store.volume.live))
        self.world.ledger.power_lost(host, before, after)
        lost = [path.decode() for path in before.keys() | after.keys() if before.get(path) != after.get(path)]
        return f"changed by it: {sorted(lost)}" if lost else None

    def do_backup(self, host: Host, op: Operation) -> str | None:
        self._backups[host.number] = host.store.copy_index()
        return None

    def do_restore(self, host: Host, op: Operation) -> str | None:
        """The agent's state directory is put back as it was at the last backup; the tree is left as it is."""
        if host.node is not None:
            return "nothing"
        old = self._backups.get(host.number)
        if old is None:
            return "nothing"
        self._put_index(host, old.copy())
        return None

    def do_wipe(self, host: Host, op: Operation) -> str | None:
        """The state directory is lost."""
        if host.node is not None:
            return "nothing"
        index = Index(Random(op.seed).getrandbits(63) + 1, lost=True)
        self._put_index(host, index)
        host.store.wrote = (index.replica, 0)  # the mark is another's, which tells a lost index from an old one
        host.registry = {}
        return None

    def _put_index(self, host: Host, index: Index) -> None:
        self.world.ledger.tainted.add(host.store.index.replica)
        host.store.index = index
        host.store.staged.clear()
        host.store.leftovers.clear()
        self.world.ledger.forget(host)

    def do_freeze(self, host: Host, op: Operation) -> str | None:
        host.freeze(True)
        return None

    def do_thaw(self, host: Host, op: Operation) -> str | None:
        host.freeze(False)
        return None

    def do_jump(self, host: Host, op: Operation) -> str | None:
        """The monotonic clock leaps ahead (ms), as after a machine was suspended."""
        host.offset += op.size * MS
        host.pump()
        return None

    def do_date(self, host: Host, op: Operation) -> str | None:
        """Somebody sets the time of day: seconds from the true one, ahead or behind."""
        host.wall = (op.size - 20_000) * SECOND
        return None

    def do_slow(self, host: Host, op: Operation) -> str | None:
        host.slow = max(1, op.size)
        return None

    def do_full(self, host: Host, op: Operation) -> str | None:
        host.store.full = True
        return None

    def do_room(self, host: Host, op: Operation) -> str | None:
        host.store.full = False
        return None

    def do_refuse(self, host: Host, op: Operation) -> str | None:
        """A path that nothing can be put at (EACCES, EIO)."""
        if (path := self._path(op.path)) is None or path == ROOT:
            return "nothing"
        host.store.refused[path] = "Permission denied"
        return None

    def do_blind(self, host: Host, op: Operation) -> str | None:
        """A path that cannot be read (EIO)."""
        if (path := self._path(op.path)) is None or path == ROOT:
            return "nothing"
        host.store.unreadable[path] = "Input/output error"
        host.touched({path})
        return None

    def do_mend(self, host: Host, op: Operation) -> str | None:
        host.store.refused.clear()
        host.store.unreadable.clear()
        return None

    # --- the segment ------------------------------------------------------------------------------

    def _ports(self, op: Operation) -> list[int]:
        return [self.world.hosts[number].port for number in op.hosts]

    def do_split(self, host: Host, op: Operation) -> str | None:
        self.world.segment.partition(self._ports(op))
        return str(list(op.hosts))

    def do_deafen(self, host: Host, op: Operation) -> str | None:
        """These hear nothing, and are heard."""
        ports = self._ports(op)
        self.world.segment.cut([h.port for h in self.world.hosts if h.port not in ports], ports)
        return str(list(op.hosts))

    def do_heal(self, host: Host, op: Operation) -> str | None:
        self.world.segment.heal()
        return None

    # --- locks ------------------------------------------------------------------------------------

    def do_lock(self, host: Host, op: Operation) -> str | None:
        if host.node is None or host.frozen or (path := self._path(op.path)) is None:
            return "nothing"
        self._requests += 1
        self._held.setdefault(host.number, []).append(self._requests)
        host.submit(api.LockRequest(self._requests, TREE, (path,)))
        return None

    def do_unlock(self, host: Host, op: Operation) -> str | None:
        held = self._held.get(host.number)
        if host.node is None or host.frozen or not held:
            return "nothing"
        self._requests += 1
        host.submit(api.UnlockRequest(self._requests, held.pop()))
        return None

    # --- the end ----------------------------------------------------------------------------------

    def make_peace(self) -> None:
        """End all trouble, and start whoever is down."""
        self.world.segment.heal()
        self.world.segment.set_rules(loss=0.0, duplication=0.0)
        for host in self.world.hosts:
            host.slow, host.store.full = 1, False
            host.store.refused.clear()
            host.store.unreadable.clear()
            host.ambushes.clear()
            host.freeze(False)
            while self._held.get(host.number):
                self.do_unlock(host, Operation(0, "unlock", host.number)) if host.node else self._held[
                    host.number
                ].pop()
            host.start()
        self._decide()

    def _decide(self) -> None:
        """Somebody looks in now and then, and decides on what is held back."""
        for host in self.world.hosts:
            if host.node is not None and _asks(host.node.trees[TREE]):
                verdict = Random(self.world.now).choice((Verdict.APPROVE, Verdict.RESTORE))
                if verdict is Verdict.RESTORE:
                    self._give_up()
                self._requests += 1
                host.submit(api.DecideRequest(self._requests, TREE, verdict))
                self.world.ledger.say(f"decide {host.name} {verdict.name}")
        self.world.at(self.world.now + 5 * SECOND, self._decide)

    def _give_up(self) -> None:
        """Who decides to restore gives up what stands in place of what the index knows, and what nobody else can bring
        back: what has vanished here, or, after a lost state, what only this node has."""
        for host in self.world.hosts:
            for path, inode in host.store.volume.live.items():
                if host.store.observe(path).look() != look_of(host.store.index.get(path)):
                    self.world.ledger.ended.add((path, thing_of(inode)))
            known = {path for path, entry in host.store.index.entries.items() if not entry.deleted}
            tried = host.node is not None and host.node.trees[TREE].probation is not None
            for path in known if tried else known - host.store.volume.live.keys():
                self.world.ledger.gave_up(host, path)


__all__ = ["Users", "content", "name"]
