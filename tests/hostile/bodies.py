"""Every field of every frame at its bounds and beyond them, generated from the declarations."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from construct import Bytes, BytesInteger, FormatField

from l2sync.frames.declare import Blob, Choice, Listed, Message, Perhaps, Record
from l2sync.modtree.codec import ENTRY

_MANY = 3000


def extreme_bodies(message: Message) -> Iterator[tuple[str, bytes]]:
    """Packed bodies like this message's, each with one field at or beyond a bound; with the field's name."""
    layout = type(message).FORMAT
    yield from _of_record(layout, message)
    whole = message.pack()
    yield "nothing", b""
    yield "cut off", whole[:-1]
    yield "left over", whole + b"\0"


def _built(part: Any, value: Any) -> bytes:
    stream = io.BytesIO()
    part._build(value, stream, None, "")
    return stream.getvalue()


def _of_record(layout: Record, value: Any) -> Iterator[tuple[str, bytes]]:
    values = list(value) if isinstance(value, tuple) else [getattr(value, name) for name, _ in layout.parts]
    built = [_built(part, each) for (_, part), each in zip(layout.parts, values, strict=True)]
    for at, (name, part) in enumerate(layout.parts):
        for wire in _of_part(part, values[at]):
            yield name, b"".join([*built[:at], wire, *built[at + 1 :]])


def _of_part(part: Any, value: Any) -> Iterator[bytes]:
    """Encodings of one field: its bounds, and what no writer of ours would write."""
    if isinstance(part, Listed):
        yield from _of_list(part, value)
    elif isinstance(part, Blob):
        yield from _of_blob(part)
    elif isinstance(part, Choice):
        yield from (bytes((number,)) for number in sorted({*part.allowed, 0, 4, 127, 255}))
    elif isinstance(part, Perhaps):
        yield from (b"\0", b"\1", b"\2")
        if value is not None:
            yield from (b"\1" + wire for _, wire in _of_record(part.thing, value))
    elif isinstance(part, FormatField | BytesInteger):
        yield from _numbers(part.sizeof())
    elif isinstance(part, Bytes):
        yield from (bytes(part.sizeof()), b"\xff" * part.sizeof())
    elif isinstance(part, Record):
        yield from (wire for _, wire in _of_record(part, value))
    elif hasattr(part, "subcon"):
        yield from _of_part(part.subcon, value)
    else:
        yield from (b"", b"\xff" * 40)


def _numbers(size: int) -> Iterator[bytes]:
    top = 1 << 8 * size
    for number in sorted({0, 1, top // 2 - 1, top // 2, top - 2, top - 1}):
        yield number.to_bytes(size, "big")


def _of_list(part: Listed, value: Any) -> Iterator[bytes]:
    yield b"\0\0"
    yield b"\xff\xff"
    element = part.element
    if not value:
        return
    one = _built(element, value[0])
    yield b"\xff\xff" + one
    yield _MANY.to_bytes(2, "big") + one * _MANY
    if isinstance(element, Record):
        for _, wire in _of_record(element, value[0]):
            yield b"\0\1" + wire
    else:
        for wire in _of_part(element, value[0]):
            yield b"\0\1" + wire


_PATHS = (
    b"..",
    b"../../etc/passwd",
    b"/etc/passwd",
    b"a//b",
    b"a/./b",
    b"a\0b",
    b"/",
    b".l2sync/x",
    b".l2sync",
    b"x" * 256,
)
_TEXTS = (b"\xff\xfe", b"\x1b[2J\r\n\0", "\u202e\u2066".encode(), b"x" * 255)


def _of_blob(part: Blob) -> Iterator[bytes]:
    size = part.count.sizeof()
    top = (1 << 8 * size) - 1
    yield bytes(size)
    yield top.to_bytes(size, "big") + b"short"
    for text in (*_PATHS, *_TEXTS, b"a/" * 20_000):
        if len(text) <= top:
            yield len(text).to_bytes(size, "big") + text


def extreme_entries(packed: bytes) -> Iterator[bytes]:
    """Packed entries like this one, each with one field of its head at or beyond a bound, or with a hostile path."""
    head = ENTRY.parse(packed)
    names = [field.name for field in ENTRY.subcons]
    for field in ENTRY.subcons:
        size = _head_size(field)
        if size is None:
            continue
        at = sum(_head_size(before) or 0 for before in ENTRY.subcons[: names.index(field.name)])
        for wire in _numbers(size):
            yield packed[:at] + wire + packed[at + size :]
    for path in (*_PATHS, b"a/" * 20_000 + b"a"):
        if len(path) <= 0xFFFF:
            yield ENTRY.build({**head, "path": path, "path_length": len(path)})
    for counter in (2**63 - 1, 2**63, 2**64 - 1):
        dots = [{"replica": head.dot_replica, "counter": counter}]
        yield ENTRY.build({**head, "version": dots, "version_count": 1, "dot_counter": counter})
    crowd = [{"replica": number, "counter": 1} for number in range(255)]
    yield ENTRY.build({**head, "version": crowd, "version_count": 255, "dot_replica": 3, "dot_counter": 1})


def _head_size(field: Any) -> int | None:
    """Bytes of a number in an entry's head; None for what has no fixed place."""
    part = field
    while hasattr(part, "subcon") and not isinstance(part, FormatField):
        part = part.subcon
    return part.sizeof() if isinstance(part, FormatField) else None
