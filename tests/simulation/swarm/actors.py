"""Carries out the steps of a scenario: users at work, and what breaks around them."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from l2sync.modtree import ROOT, Kind, TreePath, covers
from tests.simulation.disk import CHUNK, Node
from tests.simulation.world import MS, SECOND, Host

from .arena import Arena
from .steps import Step

_NAMES = [b"a", b"b", b"c", b"conf", b"x.txt"]
_HOUR = 3600 * SECOND


class Actors:
    """Users on every host. Each file's bytes are unique, so that one can say which version stands where."""

    def __init__(self, arena: Arena) -> None:
        self.arena = arena
        self._written = 0

    def act(self, step: Step) -> None:
        """Carry out one step; a step that makes no sense now does nothing."""
        host = self.arena.hosts[step.host % len(self.arena.hosts)]
        verb: Callable[[Host, Random], str | None] = getattr(self, f"_{step.verb}")
        done = verb(host, Random(step.draw))
        if done is not None:
            self.arena.history.lines.append(f"{self.arena.now / 1e9:8.3f} {host.name} {step.verb} {done}")

    # --- what stands there ------------------------------------------------------------------------

    def _files(self, host: Host) -> list[TreePath]:
        return sorted(p for p, n in host.disk.files.items() if n.kind is Kind.FILE)

    def _directories(self, host: Host) -> list[TreePath]:
        return sorted(p for p, n in host.disk.files.items() if n.kind is Kind.DIR)

    def _fresh_path(self, host: Host, rng: Random) -> TreePath:
        above = rng.choice(self._directories(host))
        if above.count(b"/") < 2 and rng.random() < 0.2:
            above = TreePath(above + b"/d%d" % rng.randrange(3) if above else b"d%d" % rng.randrange(3))
        name = rng.choice(_NAMES)
        return TreePath(above + b"/" + name if above else name)

    def _bytes(self, rng: Random) -> bytes:
        self._written += 1
        token = b"%d:" % self._written
        size = rng.choice((0, 10, 300, CHUNK + 5, 3 * CHUNK))
        return token + rng.randbytes(16) * (size // 16)

    def _put(self, host: Host, path: TreePath, data: bytes) -> str:
        history, disk = self.arena.history, host.disk
        for above in [p for p in disk.files if covers(p, path) and p != path]:
            if disk.files[above].kind is not Kind.DIR:
                self._gone(host, above)
        self._gone(host, path, taken=path in disk.files and disk.files[path].kind is not Kind.FILE)
        disk.write(path, data, self.arena.wall_ns(host))
        history.wrote(path, data, host.number, self.arena.now)
        self.arena.touch(host, path)
        return f"{path.decode()} = {data[:8]!r}"

    def _gone(self, host: Host, path: TreePath, taken: bool = True) -> None:
        """A user removes or replaces what stands at a path, and all below it."""
        for place, node in list(host.disk.files.items()):
            if covers(path, place) and node.kind is Kind.FILE:
                self.arena.history.killed(node.data)
        if taken:
            self.arena.history.took_away(path)

    # --- users ------------------------------------------------------------------------------------

    def _write(self, host: Host, rng: Random) -> str:
        return self._put(host, self._fresh_path(host, rng), self._bytes(rng))

    def _replace(self, host: Host, rng: Random) -> str | None:
        files = self._files(host)
        return self._put(host, rng.choice(files), self._bytes(rng)) if files else None

    def _append(self, host: Host, rng: Random) -> str | None:
        files = self._files(host)
        if not files:
            return None
        path = rng.choice(files)
        return self._put(host, path, host.disk.files[path].data[: 4 * CHUNK] + self._bytes(rng))

    def _truncate(self, host: Host, rng: Random) -> str | None:
        files = self._files(host)
        return self._put(host, rng.choice(files), b"%d:" % self._next()) if files else None

    def _next(self) -> int:
        self._written += 1
        return self._written

    def _rename(self, host: Host, rng: Random) -> str | None:
        files = self._files(host)
        return self._move(host, rng.choice(files), self._fresh_path(host, rng)) if files else None

    def _rename_dir(self, host: Host, rng: Random) -> str | None:
        places = [p for p in self._directories(host) if p != ROOT]
        if not places:
            return None
        source, above = rng.choice(places), rng.choice(self._directories(host))
        target = TreePath(above + b"/e%d" % rng.randrange(3) if above else b"e%d" % rng.randrange(3))
        return None if covers(source, target) else self._move(host, source, target)

    def _move(self, host: Host, source: TreePath, target: TreePath) -> str | None:
        if source == target or covers(target, source) or covers(source, target):
            return None
        files, history = host.disk.files, self.arena.history
        if any(covers(p, target) and p != target and n.kind is not Kind.DIR for p, n in files.items()):
            return None
        self._gone(host, target, taken=target in files)
        for place in [p for p in files if covers(target, p)]:
            del files[place]
        for place, node in files.items():
            if covers(source, place) and node.kind is Kind.FILE:
                history.moved(node.data)
        history.took_away(source)
        self.arena.rename(host, source, target)
        history.made.update(p for p in files if covers(target, p))
        return f"{source.decode()} to {target.decode()}"

    def _delete(self, host: Host, rng: Random) -> str | None:
        files = self._files(host)
        return self._remove(host, rng.choice(files)) if files else None

    def _delete_dir(self, host: Host, rng: Random) -> str | None:
        places = [p for p in self._directories(host) if p != ROOT]
        return self._remove(host, rng.choice(places)) if places else None

    def _remove(self, host: Host, path: TreePath) -> str:
        self._gone(host, path)
        self.arena.delete(host, path)
        return path.decode()

    def _chmod(self, host: Host, rng: Random) -> str | None:
        places = sorted(host.disk.files)
        path = rng.choice(places)
        node = host.disk.files[path]
        if node.kind is Kind.FILE:
            self.arena.history.moved(node.data)
        self.arena.touch(host, host.disk.chmod(path, rng.choice((0o600, 0o644, 0o755))))
        return path.decode() or "/"

    def _retype(self, host: Host, rng: Random) -> str | None:
        places = [p for p in sorted(host.disk.files) if p != ROOT]
        if not places:
            return None
        path = rng.choice(places)
        was = host.disk.files[path].kind
        self._gone(host, path)
        host.disk.delete(path)
        if was is Kind.DIR:
            return self._put(host, path, self._bytes(rng))
        kind = rng.choice((Kind.DIR, Kind.LINK))
        target = b"->%d" % self._next() if kind is Kind.LINK else b""
        host.disk.files[path] = Node(kind, mode=0o755, mtime_ns=self.arena.wall_ns(host), target=target)
        self.arena.touch(host, path)
        return f"{path.decode()} is a {kind.name}"

    # --- trouble ----------------------------------------------------------------------------------

    def _crash(self, host: Host, rng: Random) -> str | None:
        if self.arena.down(host):
            return None
        self.arena.crash(host)
        return ""

    def _power(self, host: Host, rng: Random) -> str | None:
        if self.arena.down(host):
            return None
        self.arena.crash(host, power=True)
        return ""

    def _restart(self, host: Host, rng: Random) -> str | None:
        down = [h for h in self.arena.hosts if self.arena.down(h)]
        if not down:
            return None
        chosen = rng.choice(down)
        self.arena.revive(chosen)
        return chosen.name

    def _partition(self, host: Host, rng: Random) -> str:
        group = [h.port for h in self.arena.hosts if rng.random() < 0.4] or [host.port]
        self.arena.segment.partition(group)
        return str(group)

    def _one_way(self, host: Host, rng: Random) -> str:
        group = [h.port for h in self.arena.hosts if rng.random() < 0.4 and h is not host]
        self.arena.segment.cut([host.port], group)
        return f"is not heard by {group}"

    def _heal(self, host: Host, rng: Random) -> str:
        self.arena.segment.heal()
        return ""

    def _loss(self, host: Host, rng: Random) -> str:
        loss, jitter = rng.choice((0.02, 0.1, 0.3)), rng.choice((0, 2 * MS, 30 * MS))
        self.arena.shape(loss=loss, duplication=rng.choice((0.0, 0.1)), jitter=jitter)
        return f"{loss} jitter {jitter / 1e6:.0f} ms"

    def _calm(self, host: Host, rng: Random) -> str:
        self.arena.calm()
        return ""

    def _stall(self, host: Host, rng: Random) -> str | None:
        if self.arena.down(host) or host.node is None:
            return None
        duration = rng.choice((200 * MS, 2 * SECOND, 8 * SECOND))
        self.arena.stall(host, duration)
        return f"{duration / 1e9} s"

    def _refuse(self, host: Host, rng: Random) -> str:
        self.arena.disk(host).refusals = rng.choice((0.0, 0.1, 0.5))
        return str(self.arena.disk(host).refusals)

    def _slow(self, host: Host, rng: Random) -> str:
        self.arena.slowness[host.number] = rng.choice((MS, 100 * MS, SECOND))
        return str(self.arena.slowness[host.number])

    def _pause(self, host: Host, rng: Random) -> str | None:
        return self.arena.pause(host, rng.choice((500 * MS, 3 * SECOND)))

    def _stale(self, host: Host, rng: Random) -> str | None:
        if host.number not in self.arena.backups:
            self.arena.back_up(host)
            return "backs its state up"
        if not self.arena.down(host):
            self.arena.crash(host)
        self.arena.history.lost_state = True
        self.arena.roll_back(host)
        self.arena.revive(host)
        return "goes back to its backup"

    def _amnesia(self, host: Host, rng: Random) -> str:
        if not self.arena.down(host):
            self.arena.crash(host)
        self.arena.history.lost_state = True
        self.arena.forget(host)
        self.arena.revive(host)
        return ""

    def _clock(self, host: Host, rng: Random) -> str:
        self.arena.wall[host.number] = rng.choice((-5 * _HOUR, 0, 3 * _HOUR))
        return f"{self.arena.wall[host.number] / _HOUR:+.0f} h"



