"""Names that are not admitted, and how often that is said."""

from __future__ import annotations

from l2sync.frames import NOID, Header, Kind, Rej, RejReason

from .hub import Hub, Warned

_MOST_REFUSED = 256


class Refusals:
    """Tells who may not come in why; at most once in a while for each name: a recording could ask at any rate."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self._said_at: dict[str, int] = {}

    def taken(self, header: Header, now: int, address: bytes | None) -> None:
        """Our own name is spoken for, by us."""
        if not self._may_say(self.hub.name, now):
            return
        newcomer = address.hex(":") if address else "an unknown address"
        text = (
            f"a node named {self.hub.name!r} is already here, the one at {newcomer} is another: give one of the two "
            f"another name; if the host was copied, delete the copy's state directory as well"
        )
        self.hub.emit(Kind.REJ, Rej(RejReason.NAME_TAKEN, header.session & 0xFFFFFFFF, NOID, text).pack())
        self.hub.counters["names_refused"] += 1
        self.hub.events.append(Warned(f"a second node named {self.hub.name!r} tried to join from {newcomer}"))

    def banned(self, header: Header, name: str, now: int, aloud: bool) -> bool:
        """Whether the name is banned; ``aloud``: its node is told why nobody answers."""
        record = self.hub.bans.get(name)
        if record is None or not record.banned:
            return False
        self.hub.counters["banned_heard"] += 1
        if aloud and self._may_say(name, now):
            text = f"{name!r} was banned from the cluster on {record.by}; l2sync unban {name} there lets it in again"
            self.hub.emit(Kind.REJ, Rej(RejReason.BANNED, header.session & 0xFFFFFFFF, NOID, text).pack())
        return True

    def _may_say(self, name: str, now: int) -> bool:
        if now - self._said_at.get(name, -(1 << 60)) < self.hub.settings.hello_interval:
            return False
        self._said_at.pop(name, None)
        while len(self._said_at) >= _MOST_REFUSED:
            del self._said_at[next(iter(self._said_at))]
        self._said_at[name] = now
        return True
