"""Makes the second part of docs/protocol.md from the declarations, the docstrings and the golden vectors.

python -m tests.frames.document
"""

from pathlib import Path
from textwrap import dedent

from construct import BytesInteger, Const, FormatField, GreedyBytes, Renamed, Subconstruct

from l2sync import frames
from l2sync.frames import declare

from . import golden
from .examples import CLUSTER, KEY, KEY_ID, SESSION, examples

FILE = Path(__file__).resolve().parents[2] / "docs" / "protocol.md"
MARK = "made by `python -m tests.frames.document` from the declarations in l2sync/frames. -->\n\n"
PAYLOADS = {"digests": frames.Digests, "ask": frames.Ask, "entries": frames.Entries}

INTRODUCTION = """\
# The frames

A frame is the payload of an Ethernet frame of EtherType 0x88B5: a header in clear, a sealed body, a tag of
{tag} bytes. All integers are big-endian.

| notation | meaning |
| --- | --- |
| u8, u16, u24, u32, u48, u64 | an integer of so many bits |
| i32, i64 | a signed integer, in two's complement |
| bytes 8 | exactly 8 bytes |
| bytes u16 | a u16 count of bytes, then the bytes; likewise u32 |
| text | a u8 count of bytes, then UTF-8 for people; too long a text is cut by its sender |
| name | as text, but never empty, and printable |
| prefix | bytes u16, each an ASCII hexadecimal digit in lower case, at most 64 |
| flag | a u8 that is 0 or 1 |
| list of … | a u16 count, then that many |
| maybe … | a flag, then the thing if it is 1 |
| rest | everything up to the body's end |

A body with bytes left over, a flag or an enumeration of another value, a range that ends before it begins: the frame
is malformed; it is counted and dropped.

## Header

{header}

The header takes {header_size} bytes. `length` is there because network cards pad short frames: what follows the tag is
padding.

## Sealing

The body is sealed with AES-256-GCM. The key is HKDF-SHA256 (RFC 5869) of the cluster's key, with the session (u64) as
salt and `l2sync v1 session` followed by the cluster's name as info, 32 bytes long. The nonce is 12 bytes: six zeros
and the serial (u48); no serial is used twice in a session. The whole header is the associated data. The cluster field
is the first four bytes of the BLAKE3 hash of `l2sync cluster` followed by the cluster's name; it sorts frames and
proves nothing.

All examples below are sealed with key {key_id},
`{key}`,
in the cluster `{cluster}`, by the session `{session}`. Plaintext is what the sealed body holds.

## Ordered streams

The kinds {streamed} must arrive, once and in order.
Their plaintext begins with the place in the sender's stream; the rest is a fragment of the message, up to the whole of
it. The fragments of a message have places that follow each other, and a message has at most {max_message} MiB.

{prefix}
"""


def type_of(part: object) -> str:
    """How the document names the type of a field."""
    if isinstance(part, declare.Listed):
        return f"list of {type_of(part.element)}"
    if isinstance(part, declare.Perhaps):
        return f"maybe {type_of(part.thing)}"
    if isinstance(part, declare.Row):
        return "(" + ", ".join(f"{type_of(field)} {field.name}" for field in part.subcons) + ")"
    if isinstance(part, declare.Record):
        return part.of.__name__
    if isinstance(part, declare.Choice):
        return "flag" if part.values is bool else "u8: " + ", ".join(f"{v.value} {v.name.lower()}" for v in part.values)
    for kind, name in ((declare.TextField, "text"), (declare.NameField, "name"), (declare.PrefixField, "prefix")):
        if isinstance(part, kind):
            return name
    if isinstance(part, declare.Blob):
        return f"bytes {type_of(part.count)}"
    if isinstance(part, Renamed | Subconstruct) and not isinstance(part, Const):
        return type_of(part.subcon)
    if part is GreedyBytes:
        return "rest"
    if isinstance(part, Const):
        return type_of(part.subcon) if isinstance(part.subcon, FormatField) else f"bytes {part.sizeof()}"
    if isinstance(part, FormatField | BytesInteger):
        if isinstance(part, FormatField) and part.fmtstr[-1].islower():
            return f"i{8 * part.sizeof()}"
        return f"u{8 * part.sizeof()}"
    return f"bytes {part.sizeof()}"


def table(layout: declare.Record) -> str:
    """The fields of a declaration."""
    rows = [f"| {field.name} | {type_of(field)} | {meaning(field)} |" for field in layout.subcons]
    return "\n".join(["| field | type | meaning |", "| --- | --- | --- |", *rows])


def meaning(field: object) -> str:
    """What a field means, and what the parts of its rows mean."""
    inner = field
    while isinstance(inner, Renamed):
        inner = inner.subcon
    rows = inner.element.subcons if isinstance(inner, declare.Listed) and type(inner.element) is declare.Row else []
    text = "; ".join([field.docs, *(f"{row.name}: {row.docs}" for row in rows)])
    return f"{text}, always {inner.value!r}" if isinstance(inner, Const) else text


def nested(layout: declare.Record) -> list[type]:
    """The messages that stand within others, to be described too."""
    found = []
    for field in layout.subcons:
        inner = field
        while isinstance(inner, Renamed):
            inner = inner.subcon
        inner = getattr(inner, "element", getattr(inner, "thing", inner))
        if type(inner) is declare.Record:
            found += [inner.of, *nested(inner)]
    return found


def described(cls: type, heading: str) -> list[str]:
    """Purpose and fields of a message, then those of what stands within it."""
    parts = [heading, dedent(cls.__doc__).split(" Hand-packed besides")[0].strip(), table(cls.FORMAT)]
    for inner in nested(cls.FORMAT):
        parts += [f"{inner.__name__}: {inner.__doc__[0].lower()}{inner.__doc__[1:]}", table(inner.FORMAT)]
    return parts


def hexadecimal(name: str, digits: str) -> str:
    """Bytes as a block of one unbroken line, so that they can be searched for and copied."""
    return f"{name}, {len(digits) // 2} bytes:\n\n```text\n{digits}\n```"


def section(kind: frames.Kind, vectors: dict[str, dict[str, str]]) -> list[str]:
    """All that is told of a kind."""
    cls = frames.MESSAGES[kind]
    parts = described(cls, f"## {kind.name.lower()} ({kind.value})")
    if kind in frames.STREAMED:
        parts.append("Behind its place in a stream.")
    for example in examples():
        if example.kind is not kind:
            continue
        if kind is frames.Kind.UPDTREE:
            parts += described(PAYLOADS[example.title.removeprefix("updtree, ")], f"### {example.title}")
        src, dst = (f"0x{place:04X}" if place == frames.NOID else str(place) for place in (example.src, example.dst))
        place = f", place {example.stream[0]}" if example.stream else ""
        parts.append(f"Example: from {src} to {dst}, serial {example.serial}{place}.")
        parts += [hexadecimal(name.capitalize(), vectors[example.title][name]) for name in ("plaintext", "frame")]
    return parts


def document() -> str:
    """The whole document: what is written by hand above the mark, and the frames."""
    by_hand = FILE.read_text().split(MARK)[0]
    vectors = golden.load()
    introduction = INTRODUCTION.format(
        tag=frames.TAG_SIZE,
        header=table(frames.HEADER),
        header_size=frames.HEADER_SIZE,
        key_id=KEY_ID,
        key=KEY.hex(),
        cluster=CLUSTER,
        session=f"{SESSION:016x}",
        streamed=", ".join(sorted(kind.name.lower() for kind in frames.STREAMED)),
        max_message=frames.MAX_MESSAGE >> 20,
        prefix=table(frames.StreamPrefix.FORMAT),
    )
    parts = [introduction.rstrip()]
    for kind in frames.Kind:
        parts += section(kind, vectors)
    return by_hand + MARK + "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    FILE.write_text(document())
