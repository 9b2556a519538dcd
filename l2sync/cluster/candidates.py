"""Sessions heard of and not placed, and the welcomes that wait for them."""

from __future__ import annotations

from dataclasses import dataclass

from l2sync.frames import NOID, Kind, Newcomer, Welcome

from .crowd import RollCall, filled
from .hub import Hub

_UNKNOWN = bytes(8)
_WELCOME_HEAD, _NEWCOMER, _SPAN = 16, 20, 4
_FORGOTTEN_AFTER = 30
"""Ping intervals of silence."""


@dataclass(slots=True)
class Candidate:
    """A session heard of and not placed: what its hello said, and whether it waits for a welcome."""

    name: str
    nonce: bytes
    address: bytes | None
    heard: int
    waiting: bool = False
    welcomed: int = -(1 << 60)
    """When it was last answered (ns)."""


class Candidates:
    """Who may become a member here."""

    def __init__(self, hub: Hub, roll: RollCall) -> None:
        self.hub = hub
        self._roll = roll
        self._known: dict[int, Candidate] = {}
        self.due: int | None = None
        """When to welcome those who wait (ns)."""

    @property
    def newcomers(self) -> int:
        """How many we have yet to place, or to be placed by."""
        return len(self._known) + len(self.hub.unanswered)

    def __len__(self) -> int:
        return len(self._known)

    def gather(self, now: int) -> int:
        """How long to wait for more to answer (ns), drawn anew each time."""
        return self._roll.gather(now, self.newcomers)

    def hear(self, session: int, name: str, nonce: bytes, address: bytes | None, now: int) -> Candidate:
        """Something came of a session that is not placed."""
        known = self._known.get(session)
        if known is None:
            if len(self._known) >= self.hub.settings.most_sessions:
                # The one longest silent: each is put last when it is heard.
                del self._known[next(iter(self._known))]
            known = self._known[session] = Candidate(name, nonce, address, now)
        else:
            self._known[session] = self._known.pop(session)
        known.heard = now
        known.name, known.nonce, known.address = name or known.name, nonce or known.nonce, address
        return known

    def placed(self, session: int) -> None:
        """It is no candidate any more."""
        self._known.pop(session, None)

    def forget(self, now: int) -> None:
        """Let those go who have long been silent."""
        limit = _FORGOTTEN_AFTER * self.hub.settings.ping_interval
        for session in [s for s, c in self._known.items() if now - c.heard > limit]:
            del self._known[session]

    def rank(self) -> int:
        """How many who never had an id are in front of this node when ids are chosen: all choose different ones."""
        return sum(
            session < self.hub.session and bool(candidate.nonce)
            for session, candidate in self._known.items()
            if candidate.name not in self.hub.registry
        )

    def queue(self, candidate: Candidate, now: int) -> None:
        """Have it welcomed soon, with others, if it was not just before."""
        if now - candidate.welcomed < self.hub.settings.welcome_interval:
            return
        candidate.waiting = True
        if self.due is None:
            self.due = now + self.gather(now)

    def send_welcomes(self, now: int) -> None:
        """Welcome those who wait; of very many, the rest a little later."""
        self.due = None
        waiting = [(s, c) for s, c in self._known.items() if c.waiting]
        if len(waiting) > self.hub.settings.most_newcomers:
            del waiting[self.hub.settings.most_newcomers :]
            self.due = now + self.gather(now)
        taken = _ranges({self.hub.id, *self.hub.peers, *self.hub.registry.values()})
        room = self.hub.room - _WELCOME_HEAD - len(self.hub.name.encode()) - _SPAN * len(taken)
        for run in filled(waiting, lambda one: _NEWCOMER + len(one[1].name.encode()), room):
            newcomers = []
            for session, candidate in run:
                candidate.waiting, candidate.welcomed = False, now
                old = self.hub.registry.get(candidate.name, NOID) if candidate.name else NOID
                newcomers.append(Newcomer(session, candidate.name or "?", old, candidate.nonce or _UNKNOWN))
            welcome = Welcome(self.hub.name, self.hub.nonce, taken, tuple(newcomers))
            self.hub.emit(Kind.WELCOME, welcome.pack())


def _ranges(ids: set[int]) -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    for node in sorted(ids - {NOID}):
        if found and found[-1][1] == node - 1:
            found[-1] = (found[-1][0], node)
        else:
            found.append((node, node))
    return tuple(found)
