"""Claims of a node and of its peers: told, answered, granted, ended (docs/model/locks.pml is their model)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from l2sync.frames import NOID, Kind, LocalError, Lock, Purpose, Rej, RejReason, Unlockall

from .hub import Claimed, Delivered, Granted, Hub, Peer, PeerState, Released
from .locks import Claim, LockTable
from .messenger import Messenger

HELD = 0
"""The logical time of a claim that is told again while it is held: before all others."""


class Claims:
    """``doubts`` says whether a peer may have forgotten us, claims and all."""

    def __init__(self, hub: Hub, messenger: Messenger, doubts: Callable[[Peer], bool]) -> None:
        self.hub = hub
        self.messenger = messenger
        self.table = LockTable()
        self.dirty = False
        """Whether something has happened that may grant a claim."""
        self.tell_at: int | None = None
        """When all own claims are told again; until then nothing is granted."""
        self._doubts = doubts
        self._made = 0
        self._expire_at = 0

    def lock(self, tree: int, paths: Iterable[bytes], purpose: int, now: int, more: bool = False) -> int:
        """Claim paths; returns the claim's number. `Granted` follows when the claim is ours.

        Raises LocalError when users hold or want so many that peers, who bound them, might not know of one more.
        """
        paths = tuple(sorted(set(paths)))
        if purpose == Purpose.USER and not self.table.spare(self.hub.session, paths):
            raise LocalError("too many paths are locked or waited for here; end some of the locks")
        self._made += 1
        self.hub.lamport += 1
        claim = Claim(self.hub.session, self._made, self.hub.id, self.hub.lamport, tree, purpose, paths)
        self.table.add(claim)
        self._tell(claim, now, more)
        self.dirty = True
        self.check()
        return claim.number

    def unlock(self, number: int, commit: bool, now: int) -> None:
        """End a claim of ours, granted or not."""
        if self.table.release(self.hub.session, number):
            self.messenger.send(Kind.UNLOCKALL, Unlockall(number, commit).pack(), now, None)
        self.dirty = True
        self.check()

    def _tell(self, claim: Claim, now: int, more: bool = False) -> None:
        """Tell a claim to everybody. Who does not know it yet must know before its stamp whether it is held."""
        lamport = HELD if claim.granted else claim.lamport
        lock = Lock(claim.number, lamport, claim.tree, Purpose(claim.purpose), claim.paths)
        self.messenger.send(Kind.LOCK, lock.pack(), now, None, more)
        if not claim.granted:
            claim.waiting = {peer.session for peer in self.hub.online()}
            claim.until.clear()
            claim.stuck.clear()
            claim.last = self.hub.broadcast_next - 1

    def answered(self, peer: Peer) -> None:
        """A peer has answered more of our stream: claims that it thereby knows have its answer.

        The highest place that it told of its own stream is at least the one at which it came to know the claim.
        """
        if self.tell_at is not None or self._doubts(peer):
            return
        for claim in self.own():
            waited = not claim.granted and peer.session in claim.waiting and peer.session not in claim.until
            if waited and not self.messenger.owes(peer, claim.last):
                claim.until[peer.session] = peer.told
                self.dirty = True

    def own(self) -> list[Claim]:
        """The claims of this node."""
        return [claim for claim in self.table if claim.session == self.hub.session]

    def deliver(self, peer: Peer, event: Delivered, now: int) -> None:
        """A peer claims, or ends a claim. Raises RemoteError."""
        if event.kind == Kind.UNLOCKALL:
            done = Unlockall.parse(event.body)
            self.table.release(peer.session, done.number)
            self.hub.events.append(Released(peer.id, peer.session, done.number, done.commit))
            return
        lock = Lock.parse(event.body)
        if not self.hub.hear_time(peer, lock.lamport, now):
            return
        self.hub.lamport += 1
        if lock.purpose == Purpose.USER:
            # A batch's lock is waited for no longer than what is told of its staging, and that brings the answer along.
            self.messenger.hurry(peer, now)
        claim = Claim(peer.session, lock.number, peer.id, lock.lamport, lock.tree, lock.purpose, lock.paths)
        known = self.table.get(*claim.key)
        if known is not None:
            known.lamport = min(known.lamport, claim.lamport)
            return
        claim.touched_at = claim.heard_at = now
        if not self.table.add(claim):
            self.hub.accuse(peer, "too many locks")
            return
        self.hub.events.append(Claimed(peer.id, peer.session, lock.number))
        before = self.table.earlier(claim)
        if before is not None and before.session == self.hub.session:
            self.messenger.hurry(peer, now)
            text = f"{self.hub.name} holds or wants it with an earlier claim"
            self.hub.emit(Kind.REJ, Rej(RejReason.LOCKED, lock.number, NOID, text).pack(), peer)

    def check(self) -> None:
        """Grant what is answered by all who are here, known as far as they told, and behind nothing."""
        if not self.dirty:
            return
        self.dirty = False
        for claim in self.own():
            if claim.granted or self.tell_at is not None:
                continue
            for session in list(claim.waiting):
                peer = self.hub.sessions.get(session)
                if peer is None or peer.state is not PeerState.ONLINE:
                    claim.waiting.discard(session)
                elif session in claim.until and peer.broadcast_in is not None:
                    heard = peer.broadcast_in.expected >= claim.until[session]
                    claim.waiting -= {session} if heard else set()
            if not claim.waiting and self.table.earlier(claim) is None:
                claim.granted = True
                self.hub.events.append(Granted(claim.number))

    def progress(self, session: int, number: int, now: int) -> None:
        """Something was heard of the batch that a claim is for."""
        claim = self.table.get(session, number)
        if claim is not None:
            claim.touched_at = now

    def expire(self, now: int) -> None:
        """End what others claim and make nothing of; look once a second."""
        if now < self._expire_at:
            return
        settings = self.hub.settings
        self._expire_at = now + settings.ping_interval
        for claim in list(self.table):
            if claim.session == self.hub.session:
                self._find_liars(claim, now)
                continue
            if self.table.earlier(claim) is not None:
                # It waits itself; its time counts from when it stands first.
                claim.touched_at = claim.heard_at = now
                continue
            idle = now - claim.touched_at > settings.claim_patience and claim.purpose != Purpose.USER
            if idle or now - claim.heard_at > settings.claim_most:
                holder = self.hub.sessions.get(claim.session)
                if holder is not None:
                    self.hub.accuse(holder, "lock held without end")
                self.table.release(claim.session, claim.number)
                self.hub.events.append(Released(claim.node, claim.session, claim.number, False))
                self.dirty = True

    def _find_liars(self, claim: Claim, now: int) -> None:
        """Who answered our claim, and does not send what it said it had sent before, holds the claim up for ever."""
        if claim.granted:
            return
        for session in claim.waiting & set(claim.until):
            peer = self.hub.sessions.get(session)
            if peer is None or peer.broadcast_in is None:
                continue
            place = peer.broadcast_in.expected
            if claim.stuck.get(session, (-1, 0))[0] != place:
                claim.stuck[session] = (place, now)
            elif now - claim.stuck[session][1] > self.hub.settings.claim_patience:
                self.hub.accuse(peer, "lying answer")
                claim.until[session] = 0
                peer.told = place  # else it would hold up every claim after this one as well
                self.dirty = True

    def meet(self, now: int) -> None:
        """A peer is new, or has forgotten us: our claims are told again, to many at once, before anything is answered.

        Until then nothing is granted. What was answered before does not count any more: who answered may have been
        dropped meanwhile, and have dropped our claims.
        """
        self.tell_at = now

    def part(self, peer: Peer) -> None:
        """A peer is gone, or has passed over what it said: its claims have ended."""
        self.table.release(peer.session, 0)
        self.dirty = True

    def handle_timer(self, now: int) -> None:
        """Do what is due."""
        self.expire(now)
        if self.tell_at is not None:
            self.tell_at = None
            for claim in self.own():
                self._tell(claim, now)
            self.dirty = True
