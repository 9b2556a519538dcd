"""Frames on their way out: sealed under their serials, cut where they are longer than all can take."""

from __future__ import annotations

from l2sync.cluster import OutFrame
from l2sync.frames import MORE_FOLLOWS, NOID, OVERHEAD, Keyring, Kind

from .api import Send, SendRun
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
        """Have symbols, one at least, sent to all, under serials that follow each other."""
        cluster, hub = self._cluster, self._cluster.hub
        if hub.out:
            # What was said before goes before: a peer that is asked how much it has heard shall not count these.
            self.flush()
        if max(map(len, bodies)) > hub.room:
            self._send_data_in_parts(bodies)
            return
        first = hub.next_serials(len(bodies))
        frames = self._keyring.seal_run(Kind.DATA, cluster.source_id, NOID, cluster.session, first, bodies)
        (address,) = hub.to_all()
        self._context.emit(SendRun(frames, address))
        size = sum(map(len, bodies))
        self._counters["bytes_out_data"] += size + OVERHEAD * len(bodies)
        self._counters["frames_out_data"] += len(bodies)
        hub.sent(len(bodies), size)

    def _send_data_in_parts(self, bodies: list[bytes]) -> None:
        """Symbols of a generation that was begun when frames could be larger."""
        hub = self._cluster.hub
        first = hub.next_serials(len(bodies))
        (address,) = hub.to_all()
        hub.out += [OutFrame(Kind.DATA, NOID, serial, body, address) for serial, body in enumerate(bodies, first)]
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
