"""Frames that were made before frames had to shrink: cut into parts that get through, and put together again."""

from __future__ import annotations

from collections.abc import Iterator

from l2sync.frames import MAX_BODY, MOST_PARTS, Header, Kind, LocalError, Part, RemoteError

PART_HEAD = 9
WHOLE = frozenset(Kind) - {Kind.PART, Kind.PROBE, Kind.HELLO, Kind.WELCOME, Kind.REGISTER}
"""What comes in parts: whoever joins is told in small frames, and a probe is as large as it is."""
_MOST_APART = 64
_MOST_HELD = 1 << 19
_LONGEST_AGO = 1 << 20


def cut(kind: int, serial: int, body: bytes, room: int) -> Iterator[bytes]:
    """Bodies of the parts of a frame, each of up to ``room`` bytes. Raises LocalError where there is no room."""
    each = room - PART_HEAD
    if each < 1 or len(body) > each * MOST_PARTS:
        raise LocalError(f"a body of {len(body)} bytes cannot be cut for frames of {room}")
    count = -(-len(body) // each)
    for index in range(count):
        yield Part(kind, serial, index, count, body[index * each : (index + 1) * each]).pack()


class Parts:
    """What has come in parts of each session; the oldest is dropped where a sender leaves too many incomplete."""

    def __init__(self) -> None:
        self._apart: dict[int, dict[int, dict[int, Part]]] = {}

    @property
    def held(self) -> int:
        """Bytes that wait for the rest."""
        return sum(_size(whole) for frames in self._apart.values() for whole in frames.values())

    def forget(self, session: int) -> None:
        """A session is gone."""
        self._apart.pop(session, None)

    def take(self, header: Header, part: Part) -> tuple[Header, bytes] | None:
        """One part; the whole frame's header and body if it was the last. Raises RemoteError("malformed")."""
        ago = header.serial - part.serial
        if part.kind not in WHOLE or part.index >= part.count or not 0 < ago < _LONGEST_AGO:
            raise RemoteError("malformed", "Part: of no frame that comes in parts")
        frames = self._apart.setdefault(header.session, {})
        parts = frames.setdefault(part.serial, {})
        if parts and next(iter(parts.values())).count != part.count:
            raise RemoteError("malformed", "Part: of another number of parts than those before")
        parts[part.index] = part
        if len(parts) == part.count:
            del frames[part.serial]
            if not frames:
                del self._apart[header.session]
            body = b"".join(parts[index].content for index in range(part.count))
            if len(body) > MAX_BODY:
                raise RemoteError("malformed", "Part: of a frame that is too long")
            return header._replace(kind=part.kind, serial=part.serial, length=len(body)), body
        while len(frames) > _MOST_APART or (len(frames) > 1 and sum(map(_size, frames.values())) > _MOST_HELD):
            del frames[next(iter(frames))]
        return None


def _size(parts: dict[int, Part]) -> int:
    return sum(len(part.content) for part in parts.values())
