"""Frames on their way out: sealed under their serials, cut where they are longer than all can take."""

from __future__ import annotations

from l2sync.cluster import OutFrame
from l2sync.frames import MORE_FOLLOWS, NOID, Keyring, Kind

from .api import Send
from .context import Context
from .parts import WHOLE as COMES_IN_PARTS
from .parts import cut

_FRAMES_OUT = {int(kind): f"frames_out_{kind.name.lower()}" for kind in Kind}
_BYTES_OUT = {int(kind): f"bytes_out_{kind.name.lower()}" for kind in Kind}


class Outlet:
    """Seals what a node says, and leaves it with the effects, in order."""

    def __init__(self, context: Context, keyring: Keyring) -> None:
        self._context = context
        self._keyring = keyring
        self._cluster = context.cluster
        self._counters = context.counters

    def send_data(self, bodies: list[bytes]) -> None:
        """Have symbols sent to all, under serials that follow each other."""
        cluster, seal, emit = self._cluster, self._keyring.seal, self._context.effects.append
        if any(len(body) > cluster.hub.room for body in bodies):
            self._send_data_in_parts(bodies)
            return
        source, session = cluster.source_id, cluster.session
        (address,) = cluster.hub.to_all()
        for body in bodies:
            frame = seal(Kind.DATA, source, NOID, session, cluster.next_serial(), body)
            emit(Send(frame, address))
            self._counters["bytes_out_data"] += len(frame)
        self._counters["frames_out_data"] += len(bodies)
        cluster.hub.sent(len(bodies), sum(map(len, bodies)))

    def _send_data_in_parts(self, bodies: list[bytes]) -> None:
        """Symbols of a generation that was begun when frames could be larger."""
        hub = self._cluster.hub
        serials = [hub.next_serial() for _ in bodies]  # the caller counts on one after the other
        (address,) = hub.to_all()
        numbered = zip(serials, bodies, strict=True)
        hub.out += [OutFrame(Kind.DATA, NOID, serial, body, address) for serial, body in numbered]
        hub.sent(len(bodies), sum(map(len, bodies)))
        self.flush()

    def flush(self) -> None:
        """Have everything sent that the cluster machine has to say."""
        hub = self._cluster.hub
        for frame in self._cluster.take_frames():
            if len(frame.body) > hub.room and frame.kind in COMES_IN_PARTS:
                bodies = cut(frame.kind, frame.serial, frame.body, hub.room)
                for part in bodies:
                    self._seal(OutFrame(Kind.PART, frame.dst, hub.next_serial(), part, frame.address))
            else:
                self._seal(frame)

    def _seal(self, frame: OutFrame) -> None:
        sealed = self._keyring.seal(
            frame.kind | MORE_FOLLOWS if frame.more else frame.kind,
            self._cluster.source_id,
            frame.dst,
            self._cluster.session,
            frame.serial,
            frame.body,
        )
        self._counters[_FRAMES_OUT[frame.kind]] += 1
        self._counters[_BYTES_OUT[frame.kind]] += len(sealed)
        self._context.emit(Send(sealed, frame.address))
