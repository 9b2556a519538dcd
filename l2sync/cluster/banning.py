"""Bans: said by a user of any node, kept by all, told to whoever comes."""

from __future__ import annotations

from l2sync.frames import Ban, Kind

from .bans import BanRecord
from .hub import BansChanged, Hub, Peer, Refused
from .membership import Membership
from .messenger import Messenger


class Banning:
    """Tells and hears of bans, and parts with who is banned; the list itself is ``hub.bans``."""

    def __init__(self, hub: Hub, messenger: Messenger, membership: Membership) -> None:
        self.hub = hub
        self.messenger = messenger
        self.membership = membership

    def ban(self, name: str, banned: bool, now: int) -> None:
        """Ban a node by its name, or lift its ban; all who are here hear of it now, the others when they come."""
        self.hub.lamport = max(self.hub.lamport, self.hub.bans.latest()) + 1
        record = BanRecord(name, banned, self.hub.lamport, self.hub.name)
        told = Ban(((record.name, record.banned, record.stamp, record.by),))
        self.messenger.send(Kind.BAN, told.pack(), now, None)
        self._take(record, now)

    def hear(self, peer: Peer, message: Ban, now: int) -> None:
        """A peer has told of bans."""
        for name, banned, stamp, by in message.records:
            if self.hub.hear_time(peer, stamp, now):
                self._take(BanRecord(name, banned, stamp, by), now)

    def meet(self, peer: Peer, now: int) -> None:
        """Tell a peer that has come."""
        if len(self.hub.bans):
            records = tuple((r.name, r.banned, r.stamp, r.by) for r in self.hub.bans.records())
            self.messenger.send(Kind.BAN, Ban(records).pack(), now, peer)

    def _take(self, record: BanRecord, now: int) -> None:
        before = self.hub.bans.banned(record.name)
        if not self.hub.bans.take(record):
            return
        said = f"{record.name} is {'banned' if record.banned else 'no longer banned'}, said on {record.by}"
        self.hub.events.append(BansChanged(said if before != record.banned else ""))
        if not record.banned:
            return
        if record.name == self.hub.name:
            self.membership.leave("banned")
            self.hub.events.append(Refused(f"{self.hub.name!r} was banned from the cluster on {record.by}"))
        for known in [p for p in self.hub.sessions.values() if p.name == record.name]:
            self.membership.presence.offline(known, f"banned on {record.by}", now)
            self.hub.retire(known.session)
