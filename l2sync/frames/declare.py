"""What frames are declared with: construct's own parts, and leaner ones where construct copies contexts about.

A `Record` is a Struct that makes a dataclass instead of a container, a `Row` one that makes a tuple. Errors inside are
whatever construct, struct or the checks raise; `Message.pack` and `Message.parse` are the one place that turns them
into LocalError and RemoteError.
"""

import io
import struct
from collections.abc import Callable
from enum import IntEnum
from typing import Any, ClassVar, Self, TypeVar

from construct import (
    Bytes,
    BytesInteger,
    Construct,
    ConstructError,
    Int8ub,
    Int16ub,
    Int32ub,
    Renamed,
    Struct,
    stream_read,
)

from .errors import LocalError, RemoteError

Check = Callable[..., bool]


class Record(Struct):  # type: ignore[misc]
    """A sequence of named fields, as an object of the dataclass that it was given to by `declared`."""

    of: Callable[..., Any]

    def __init__(self, *fields: Any) -> None:
        super().__init__(*fields)
        # The plain subconstructs: the naming wrappers cost more time than the fields.
        self.parts = [(field.name, _bare(field)) for field in self.subcons]

    def _parse(self, stream: Any, context: Any, path: str) -> Any:
        return self.of(*[part._parse(stream, context, path) for _, part in self.parts])

    def _build(self, obj: Any, stream: Any, context: Any, path: str) -> Any:
        for name, part in self.parts:
            part._build(getattr(obj, name), stream, context, path)
        return obj


class Row(Record):
    """A sequence of named fields, as a plain tuple; check tells whether the values go together."""

    def __init__(self, *fields: Any, check: Check | None = None) -> None:
        super().__init__(*fields)
        self.check = check

    def _parse(self, stream: Any, context: Any, path: str) -> tuple[Any, ...]:
        row = tuple([part._parse(stream, context, path) for _, part in self.parts])
        self._verify(row)
        return row

    def _build(self, obj: Any, stream: Any, context: Any, path: str) -> Any:
        self._verify(obj)
        for value, (_, part) in zip(obj, self.parts, strict=True):
            part._build(value, stream, context, path)
        return obj

    def _verify(self, row: tuple[Any, ...]) -> None:
        if self.check is not None and not self.check(*row):
            raise ValueError(f"values that do not go together: {row}")


def _bare(field: Any) -> Any:
    while isinstance(field, Renamed):
        field = field.subcon
    return field


class Listed(Construct):  # type: ignore[misc]
    """A u16 count, then that many of the same; as a tuple."""

    def __init__(self, element: Any) -> None:
        super().__init__()
        self.element = element

    def _parse(self, stream: Any, context: Any, path: str) -> tuple[Any, ...]:
        parse = self.element._parse
        return tuple([parse(stream, context, path) for _ in range(Int16ub._parse(stream, context, path))])

    def _build(self, obj: Any, stream: Any, context: Any, path: str) -> Any:
        Int16ub._build(len(obj), stream, context, path)
        for value in obj:
            self.element._build(value, stream, context, path)
        return obj


class Blob(Construct):  # type: ignore[misc]
    """A count of bytes, then the bytes."""

    def __init__(self, count: Any) -> None:
        super().__init__()
        self.count = count

    def _parse(self, stream: Any, context: Any, path: str) -> Any:
        return self.decode(stream_read(stream, self.count._parse(stream, context, path), path))

    def _build(self, obj: Any, stream: Any, context: Any, path: str) -> Any:
        raw = self.encode(obj)
        self.count._build(len(raw), stream, context, path)
        stream.write(raw)
        return obj

    def decode(self, raw: bytes) -> Any:
        return raw

    def encode(self, value: Any) -> bytes:
        raw: bytes = value
        return raw


class TextField(Blob):
    """UTF-8 text for people, behind a u8 count of its bytes.

    Packing never fails for what the text is: it is often an error's, which may be long or hold a file name that is
    no UTF-8. What cannot be encoded becomes a question mark, what is beyond 255 bytes is cut off.
    """

    def decode(self, raw: bytes) -> Any:
        return raw.decode()

    def encode(self, value: Any) -> bytes:
        raw: bytes = value.encode(errors="replace")
        return raw if len(raw) < 256 else raw[:255].decode(errors="ignore").encode()


class NameField(Blob):
    """The name of a node, UTF-8 of 1 to 255 bytes behind a u8 count.

    Neither empty nor with characters that would play tricks on a terminal or in a log.
    """

    def decode(self, raw: bytes) -> Any:
        name = raw.decode()
        if not name or not name.isprintable():
            raise ValueError("a name that is empty or not printable")
        return name

    def encode(self, value: Any) -> bytes:
        raw: bytes = value.encode()
        self.decode(raw)
        return raw


class PrefixField(Blob):
    """The first digits of a hash, one ASCII hexadecimal digit (0-9, a-f) to each four bits."""

    def decode(self, raw: bytes) -> Any:
        if raw.strip(b"0123456789abcdef") or len(raw) > 64:
            raise ValueError("a prefix that is no prefix of a hash")
        return raw

    def encode(self, value: Any) -> bytes:
        raw: bytes = self.decode(value)
        return raw


class Choice(Construct):  # type: ignore[misc]
    """A u8 that is one of an enumeration's values."""

    def __init__(self, values: type[IntEnum] | type[bool]) -> None:
        super().__init__()
        self.values = values
        self.allowed = {int(v): v for v in ((False, True) if values is bool else tuple(values))}

    def _parse(self, stream: Any, context: Any, path: str) -> Any:
        value = Int8ub._parse(stream, context, path)
        if value not in self.allowed:
            raise ValueError(f"{value} is not among the known values")
        return self.allowed[value]

    def _build(self, obj: Any, stream: Any, context: Any, path: str) -> Any:
        if obj not in self.allowed:
            raise ValueError(f"{obj!r} is not among the known values")
        Int8ub._build(int(obj), stream, context, path)
        return obj


class Perhaps(Construct):  # type: ignore[misc]
    """A u8, 0 or 1, then the thing if it was 1; None if it was 0."""

    def __init__(self, thing: Any) -> None:
        super().__init__()
        self.thing = thing

    def _parse(self, stream: Any, context: Any, path: str) -> Any:
        return self.thing._parse(stream, context, path) if Flag._parse(stream, context, path) else None

    def _build(self, obj: Any, stream: Any, context: Any, path: str) -> Any:
        Flag._build(obj is not None, stream, context, path)
        if obj is not None:
            self.thing._build(obj, stream, context, path)
        return obj


Int48ub = BytesInteger(6)
Flag = Choice(bool)
Text = TextField(Int8ub)
Name = NameField(Int8ub)
Octets = Blob(Int16ub)
LongOctets = Blob(Int32ub)
Prefix = PrefixField(Int16ub)
Nonce = Bytes(8)
Digest = Bytes(16)


def spans(number: Any, first: str, last: str) -> Listed:
    """A list of closed ranges (first, last) with first <= last."""
    return Listed(Row("first" / number * first, "last" / number * last, check=lambda first, last: first <= last))


MISFITS = (ConstructError, struct.error, ValueError, OverflowError, TypeError, AttributeError)
"""What building a declared thing from wrong values may raise."""
GARBAGE = (ConstructError, struct.error, ValueError)
"""What reading a declared thing from wrong bytes may raise; UnicodeDecodeError is a ValueError."""


class Message:
    """What a body says. Subclasses are frozen dataclasses with a declaration, and may have a faster twin of it."""

    __slots__ = ()
    FORMAT: ClassVar[Record]

    def pack(self) -> bytes:
        """The bytes of it. Raises LocalError where a value does not fit its field."""
        try:
            return self._pack()
        except MISFITS as error:
            raise LocalError(f"{type(self).__name__} cannot be packed: {error}") from error

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Read a whole body. Raises RemoteError("malformed") on anything wrong, bytes left over included."""
        try:
            return cls._parse(body)
        except GARBAGE as error:
            raise RemoteError("malformed", f"{cls.__name__}: {error}") from error

    def _pack(self) -> bytes:
        return self.build_declared()

    @classmethod
    def _parse(cls, body: bytes) -> Self:
        return cls.parse_declared(body)

    def build_declared(self) -> bytes:
        """Pack by the declaration alone; raises what that raises."""
        stream = io.BytesIO()
        self.FORMAT._build(self, stream, None, "")
        return stream.getvalue()

    @classmethod
    def parse_declared(cls, body: bytes) -> Self:
        """Read by the declaration alone; raises what that raises."""
        stream = io.BytesIO(body)
        message: Self = cls.FORMAT._parse(stream, None, cls.__name__)
        if stream.tell() != len(body):
            raise ValueError(f"{len(body) - stream.tell()} bytes left over")
        return message


AnyMessage = TypeVar("AnyMessage", bound=Message)


def declared(layout: Record) -> Callable[[type[AnyMessage]], type[AnyMessage]]:
    """Give a dataclass its declaration; the fields are named alike and stand in the same order."""

    def join(cls: type[AnyMessage]) -> type[AnyMessage]:
        layout.of = cls
        cls.FORMAT = layout
        return cls

    return join
