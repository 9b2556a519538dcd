"""What a running agent can be asked for: joins the node's requests with what is on disk at that moment."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

import msgspec
import structlog
import trio

from l2sync.disk import CannotRestore, NotCrossed, Paused
from l2sync.frames import Verdict
from l2sync.modtree import InvalidPath, TreePath, tree_path
from l2sync.node import api
from l2sync.node.status import Status, TreeInfo

from .driver import Driver
from .protocol import (
    BanQuery,
    ConflictCopy,
    ConflictsQuery,
    DecideQuery,
    FlushQuery,
    LockQuery,
    Query,
    Reply,
    Rescanned,
    RescanQuery,
    RestoreQuery,
    UnlockQuery,
    VersionsQuery,
    WhyQuery,
    success,
)
from .versions import bring_back, kept_versions
from .watching import TreeWatch

_AGAIN_S = 0.25
_FLUSHED = {0: "no other node is online", 1: "all of it is on the other online node"}

Held = list[tuple[str, int]]
"""A client's locks: the tree, and the number of the request that got it."""


class Refusal(Exception):
    """A request cannot be met; ``code`` is stable, the text is for people."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class Office:
    """Answers requests about one running node. ``roots``: each tree's place on this host."""

    def __init__(
        self,
        driver: Driver,
        watches: Mapping[str, TreeWatch],
        roots: Mapping[str, Path],
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.driver = driver
        self.watches = watches
        self.roots = roots
        self._clock = clock
        self._log = structlog.get_logger()

    def status(self) -> Status:
        """What the node says of itself, and what only its driver knows."""
        self.driver.catch_up()
        status = self.driver.node.status(self._clock())
        link = self.driver.link.statistics()
        counters = {
            **status.counters,
            "kernel_drops": link.kernel_drops,
            "link_refused": link.refused,
            "link_reopened": link.reopened,
            "frames_failed_on": self.driver.reader.faults,
        }
        hindrances = tuple(text for text in (self.driver.reader.link_down, self.driver.stuck) if text is not None)
        return msgspec.structs.replace(
            status,
            trees=tuple(self._watched(tree) for tree in status.trees),
            counters=counters,
            reasons=hindrances + status.reasons,
            in_sync=status.in_sync and not hindrances,
        )

    def _watched(self, tree: TreeInfo) -> TreeInfo:
        watch = self.watches.get(tree.name)
        return tree if watch is None else msgspec.structs.replace(tree, watch=watch.way)

    async def answer(self, query: Query, held: Held) -> Reply:
        """Do what is asked, as long as it takes. Raises Refusal."""
        match query:
            case FlushQuery(tree, patience):
                return success(text=await self._flush(tree, patience))
            case LockQuery(paths, wait):
                await self._lock(paths, wait, held)
            case UnlockQuery():
                await self._unlock(held)
            case RescanQuery(tree):
                return success(await self._rescan(tree))
            case BanQuery(node, banned):
                _, answer = await self.driver.ask(lambda number: api.BanRequest(number, node, banned))
                if not answer.ok:
                    raise Refusal("failed", answer.detail)
            case ConflictsQuery(tree):
                return success(await self._conflicts(tree))
            case DecideQuery(tree, path):
                return success(text=await self._approve(tree, path))
            case WhyQuery():
                return success(await self._why(query))
            case VersionsQuery():
                return success(await self._versions(query))
            case RestoreQuery():
                return await self._restore(query)
            case _:
                return success(self.status())
        return success()

    def release(self, held: Held) -> None:
        """Give up locks whose owner went away."""
        for _, number in held:
            self.driver.cancel(number)
        held.clear()

    async def _flush(self, tree: str | None, patience: float | None) -> str:
        names = self._names(tree)
        with trio.move_on_after(float("inf") if patience is None else patience):
            for name in names:
                await self._catch_up(name)
            while self.driver.reader.link_down is not None:  # noqa: ASYNC110
                # Nobody is online then, which would make it true and worthless.
                await trio.sleep(_AGAIN_S)
            _, answer = await self.driver.ask(lambda number: api.FlushRequest(number, tree))
            if not answer.ok:
                raise Refusal("failed", answer.detail)
            online = sum(peer.state == "online" for peer in self.status().peers)
            return _FLUSHED.get(online, f"all of it is on {online} other online nodes")
        hindrances = [text for text in (self.driver.reader.link_down, self.driver.stuck) if text is not None]
        lacking = hindrances + self.driver.node.lacking(tree)
        raise Refusal("timeout", "\n".join(lacking) or "not every online node has said yet that it has everything")

    async def _catch_up(self, name: str) -> None:
        # A paused tree is waited for: it may come back within the caller's patience.
        while True:
            try:
                await self.watches[name].catch_up()
                return
            except Exception as error:
                self._log.debug("flush_waits", tree=name, reason=str(error))
                await trio.sleep(_AGAIN_S)

    async def _lock(self, paths: Iterable[bytes], wait: float | None, held: Held) -> None:
        wanted = self._place(paths)
        taken: Held = []
        try:
            with trio.move_on_after(float("inf") if wait is None else wait):
                # In the order of names on every node, so that two who want the same trees cannot block each other.
                for name in sorted(wanted):
                    request = self._lock_request(name, tuple(wanted[name]))
                    number, answer = await self.driver.ask(request)
                    if not answer.ok:
                        raise Refusal("failed", answer.detail)
                    taken.append((name, number))
                held += taken
                taken = []
                return
            raise Refusal("timeout", self._holders(wanted))
        finally:
            self.release(taken)

    def _lock_request(self, name: str, paths: tuple[TreePath, ...]) -> Callable[[int], api.Request]:
        return lambda number: api.LockRequest(number, name, paths)

    async def _unlock(self, held: Held) -> None:
        for name in {name for name, _ in held}:
            # What was written under the lock is known to the node before anyone else may write there.
            try:
                await self.watches[name].catch_up()
            except Exception as error:
                self._log.warning("unlocked_unseen", tree=name, reason=str(error))
        while held:
            _, lock = held.pop()
            await self.driver.ask(partial(api.UnlockRequest, lock=lock))

    async def _rescan(self, tree: str | None) -> Rescanned:
        changes = {}
        for name in self._names(tree):
            try:
                changes[name] = await self.watches[name].scan(None)
            except Exception as error:
                raise Refusal("failed", f"{name} cannot be looked at: {error}") from error
        return Rescanned(changes)

    async def _conflicts(self, tree: str | None) -> list[ConflictCopy]:
        found = [(name, path) for name in self._names(tree) for path in self.driver.node.conflicts(name)]

        def look() -> list[ConflictCopy]:
            copies = []
            for name, path in found:
                try:
                    status = os.lstat(os.path.join(os.fsencode(self.roots[name]), path))
                except OSError:
                    continue
                copies.append(ConflictCopy(name, str(self.roots[name]), path, status.st_size, status.st_mtime_ns))
            return copies

        return await trio.to_thread.run_sync(look)

    async def _why(self, query: WhyQuery) -> object:
        name, path = await trio.to_thread.run_sync(self._find, query.path, query.word)
        patience = int(max(0.0, query.timeout_s) * 1e9)
        _, answer = await self.driver.ask(lambda number: api.WhyRequest(number, name, path, patience))
        if not answer.ok:
            raise Refusal("failed", answer.detail)
        return answer.data

    async def _decide(self, tree: str, verdict: Verdict) -> str:
        _, answer = await self.driver.ask(lambda number: api.DecideRequest(number, tree, verdict))
        if not answer.ok:
            raise Refusal("not_held", answer.detail)
        return answer.detail

    async def _approve(self, word: str, path: bytes) -> str:
        """Let a tree's losses be, or what is mounted, or no more, at a path of one."""
        inside = {_inside(path, root) for root in self.roots.values()}
        if word in self.roots or b"" in inside or (inside == {None} and word.partition(":")[0] not in self.roots):
            return await self._decide(self._tree_of(word, path), Verdict.APPROVE)
        tree, place = await trio.to_thread.run_sync(self._find, path, os.fsencode(word))
        desk = self.driver.desks[tree]
        try:
            meaning = await desk.worker.run(lambda: desk.store.allow_mount(place))
        except (NotCrossed, Paused) as error:
            raise Refusal("failed", str(error)) from None
        if meaning is None:
            raise Refusal("not_held", f"nothing is asked of {os.fsdecode(place)} in {tree}: see l2sync status")
        with contextlib.suppress(Exception):  # else the next look at all of it finds the same
            await self.watches[tree].scan(None)
        return f"{tree}: {os.fsdecode(place)}: {meaning}"

    def _tree_of(self, word: str, path: bytes) -> str:
        """The tree of that name, or whose root is at ``path``."""
        roots = [name for name, root in self.roots.items() if _inside(path, root) == b""]
        (name,) = roots if word not in self.roots and roots else self._names(word)
        return name

    def _find(self, absolute: bytes, word: bytes) -> tuple[str, TreePath]:
        """Tree and path that a user means: TREE or TREE:PATH where that names a tree, and no such file stands here."""
        name, _, inside = word.partition(b":")
        tree = os.fsdecode(name)
        if tree not in self.roots or os.path.lexists(absolute):
            ((tree, (path,)),) = self._place([absolute]).items()
            return tree, path
        try:
            return tree, tree_path(inside.strip(b"/"))
        except InvalidPath as error:
            raise Refusal("outside", f"{word.decode(errors='backslashreplace')}: {error}") from None

    async def _versions(self, query: VersionsQuery) -> object:
        place = None if query.path is None else await trio.to_thread.run_sync(self._find, query.path, query.word)
        try:
            return await trio.to_thread.run_sync(kept_versions, self.driver.desks, self.roots, place)
        except OSError as error:
            raise Refusal("failed", str(error)) from None

    async def _restore(self, query: RestoreQuery) -> Reply:
        word = os.fsdecode(query.word)
        roots = (_inside(query.path, root) for root in self.roots.values())
        if query.version is None and (word in self.roots or b"" in roots):
            return success(text=await self._decide(self._tree_of(word, query.path), Verdict.RESTORE))
        tree, path = await trio.to_thread.run_sync(self._find, query.path, query.word)
        try:
            restored = await bring_back(self.driver.desks[tree], self.roots[tree], path, query.version)
        except (CannotRestore, Paused, OSError) as error:
            raise Refusal("failed", str(error)) from None
        with contextlib.suppress(Exception):  # else the watcher hears of it as of any change
            await self.watches[tree].scan(TreePath(path) for path in restored.paths)
        return success(restored)

    def _names(self, tree: str | None) -> list[str]:
        if tree is None:
            return list(self.watches)
        if tree not in self.watches:
            raise Refusal("unknown_tree", f"no tree is named {tree!r} here; there are: {', '.join(self.watches)}")
        return [tree]

    def _place(self, paths: Iterable[bytes]) -> dict[str, list[TreePath]]:
        """Absolute paths as paths in our trees, by tree."""
        placed: dict[str, list[TreePath]] = {}
        for path in paths:
            inside = {name: _inside(path, root) for name, root in self.roots.items()}
            name = next((name for name, found in inside.items() if found is not None), None)
            if name is None:
                roots = ", ".join(map(str, self.roots.values()))
                raise Refusal("outside", f"{path.decode(errors='backslashreplace')} is in none of the trees ({roots})")
            try:
                placed.setdefault(name, []).append(tree_path(inside[name] or b""))
            except InvalidPath as error:
                raise Refusal("outside", str(error)) from None
        return placed

    def _holders(self, wanted: Iterable[str]) -> str:
        names = set(wanted)
        claims = [lock for lock in self.status().locks if lock.tree in names and lock.granted]
        lines = [f"{lock.holder} holds {', '.join(lock.paths[:3])} of {lock.tree}" for lock in claims]
        return "\n".join(dict.fromkeys(lines)) or "not every online node has agreed yet"


def _inside(path: bytes, root: Path) -> bytes | None:
    """The path relative to the root, whichever way (by symbolic links or not) either was named."""
    tops = {os.path.normpath(os.fsencode(root)), os.path.realpath(os.fsencode(root))}
    plain = os.path.normpath(path)
    ways = (plain, os.path.join(os.path.realpath(os.path.dirname(plain)), os.path.basename(plain)))
    for top in tops:
        for way in ways:
            if way == top:
                return b""
            if way.startswith(top.rstrip(b"/") + b"/"):
                return way[len(top.rstrip(b"/")) + 1 :]
    return None
