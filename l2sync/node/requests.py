"""What users ask of a node: is it everywhere yet, and lock the cluster out."""

from __future__ import annotations

from dataclasses import dataclass, field

from l2sync.frames import LocalError, Purpose

from .api import Answer, BanRequest, CancelRequest, FlushRequest, LockRequest, Request, UnlockRequest
from .context import Context
from .offering import Offering
from .receiving import Receiving
from .tree import SharedTree

_MOST_LOCKS = 64
"""Locks of this node's users at a time; the others bound what one node may claim, too."""
_MOST_PATHS = 1000


@dataclass(slots=True)
class _Flush:
    request: int
    agreed: dict[str, set[int]] = field(default_factory=dict)


class Requests:
    """Requests that wait for an answer."""

    def __init__(self, context: Context, offering: Offering, receiving: Receiving) -> None:
        self.ctx, self.offering, self.receiving = context, offering, receiving
        self._flushes: dict[int, _Flush] = {}
        self._locks: dict[int, int] = {}

    @property
    def waiting(self) -> bool:
        """Whether a flush waits."""
        return bool(self._flushes)

    def submit(self, request: Request, now: int) -> None:
        """Take a request; an `Answer` follows, at once or later."""
        match request:
            case FlushRequest(number, tree):
                if tree is not None and tree not in self.ctx.trees:
                    self.ctx.emit(Answer(number, False, f"no tree is named {tree!r}"))
                    return
                names = [tree] if tree is not None else list(self.ctx.trees)
                self._flushes[number] = _Flush(number, {name: set() for name in names})
            case LockRequest(number, tree, paths):
                shared = self.ctx.trees.get(tree)
                if shared is None:
                    self.ctx.emit(Answer(number, False, f"no tree is named {tree!r}"))
                    return
                if len(self._locks) >= _MOST_LOCKS or len(paths) > _MOST_PATHS:
                    detail = f"at most {_MOST_LOCKS} locks at a time, of {_MOST_PATHS} paths each"
                    self.ctx.emit(Answer(number, False, detail))
                    return
                try:
                    self._locks[number] = self.ctx.cluster.lock(shared.tag, paths, Purpose.USER, now)
                except LocalError as error:
                    self.ctx.emit(Answer(number, False, str(error)))
            case UnlockRequest(number, lock):
                claim = self._locks.pop(lock, None)
                if claim is not None:
                    self.ctx.cluster.unlock(claim, True, now)
                self.ctx.emit(Answer(number, claim is not None, "" if claim is not None else "no such lock"))
            case BanRequest(number, name, banned):
                detail = self._ban(name, banned, now)
                self.ctx.emit(Answer(number, not detail, detail))
            case CancelRequest(number):
                self._flushes.pop(number, None)
                claim = self._locks.pop(number, None)
                if claim is not None:
                    self.ctx.cluster.unlock(claim, True, now)

    def _ban(self, name: str, banned: bool, now: int) -> str:
        """Ban a node or lift its ban; why not, if not."""
        hub = self.ctx.cluster.hub
        if name == self.ctx.name:
            return f"{name} is this very node: ask on another one"
        if banned and name not in hub.registry:
            others = ", ".join(sorted(hub.registry.keys() - {self.ctx.name})) or "none"
            return f"no node named {name} was ever seen here; there are: {others}"
        if hub.bans.banned(name) == banned:
            return f"{name} is {'already' if banned else 'not'} banned"
        self.ctx.cluster.ban(name, banned, now)
        return ""

    def granted(self, claim: int) -> bool:
        """A claim is ours; whether a request waited for it."""
        for number, known in self._locks.items():
            if known == claim:
                self.ctx.emit(Answer(number, True))
                return True
        return False

    def check(self) -> None:
        """Answer the flushes that are done: every online node has told the digest that we have, since the request."""
        for flush in list(self._flushes.values()):
            if all(self._flushed(self.ctx.trees[name], agreed) for name, agreed in flush.agreed.items()):
                del self._flushes[flush.request]
                self.ctx.emit(Answer(flush.request, True))

    def _flushed(self, shared: SharedTree, agreed: set[int]) -> bool:
        if shared.paused is not None or not shared.scanned or shared.doubt is not None:
            return False
        mine = shared.digest
        online = {peer.id: state for peer, state in self.ctx.sharing(shared)}
        agreed |= {peer for peer, state in online.items() if state.digest == mine}
        strangers = any(not peer.pinged for peer in self.ctx.online())
        return not strangers and not self.offering.pending(shared) and agreed >= set(online)

    def lacking(self, tree: str | None) -> list[str]:
        """Who lacks what, for people."""
        lines = []
        for shared in self.ctx.trees.values():
            if tree is not None and shared.name != tree:
                continue
            if shared.paused is not None:
                lines.append(f"{shared.name}: paused here: {shared.paused}")
            elif shared.question is not None:
                lines.append(f"{shared.name}: {shared.question}")
            elif not shared.scanned:
                lines.append(f"{shared.name}: still being scanned here")
            elif shared.doubt is not None:
                lines.append(f"{shared.name}: much is being deleted here, waiting for its end")
            for peer, state in self.ctx.sharing(shared):
                if state.digest != shared.digest:
                    lines.append(f"{shared.name}: {peer.name} {self._what(shared, peer.id, state.entries)}")
        return lines

    def _what(self, shared: SharedTree, peer: int, entries: int) -> str:
        owed = sum(
            len(batch.entries)
            for batch in self.offering.batches.values()
            if batch.shared is shared and peer in batch.lacking()
        )
        if owed:
            return f"lacks {owed} entries that are on their way"
        if self.offering.pending(shared):
            return f"lacks {self.offering.pending(shared)} entries that wait to be sent"
        return f"holds another version ({entries} entries there, {shared.tree.alive} here)"
