"""What passes over the control socket: a line of JSON each way for every request.

A connection may carry many requests, one after the other. A lock belongs to the connection that asked for
it: when the connection ends, however that comes about, the lock is given up.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

MAX_LINE = 1 << 20
"""Bytes in a request, at the most."""


class StatusQuery(msgspec.Struct, frozen=True, tag="status", tag_field="request"):
    """Answered with :class:`l2sync.node.Status`."""


class FlushQuery(msgspec.Struct, frozen=True, tag="flush", tag_field="request"):
    """Answered when every online node has what is on disk here now; code ``timeout`` names who lacks what."""

    tree: str | None = None
    timeout_s: float | None = None


class LockQuery(msgspec.Struct, frozen=True, tag="lock", tag_field="request"):
    """Answered when the whole cluster is locked out of these absolute paths; code ``timeout`` names the holders."""

    paths: tuple[bytes, ...]
    wait_s: float | None = None


class UnlockQuery(msgspec.Struct, frozen=True, tag="unlock", tag_field="request"):
    """Gives up all locks of this connection."""


class RescanQuery(msgspec.Struct, frozen=True, tag="rescan", tag_field="request"):
    """Answered when the tree (None: every tree) has been looked at; with :class:`Rescanned`."""

    tree: str | None = None


class ConflictsQuery(msgspec.Struct, frozen=True, tag="conflicts", tag_field="request"):
    """Answered with a list of :class:`ConflictCopy`."""

    tree: str | None = None


class WhyQuery(msgspec.Struct, frozen=True, tag="why", tag_field="request"):
    """Answered with :class:`l2sync.node.explanation.Explanation`; code ``outside`` for what is in no tree.

    ``path`` is absolute; ``word`` is what the user wrote, which may name a tree: ``TREE:PATH``.
    """

    path: bytes
    word: bytes = b""
    timeout_s: float = 5.0


class DecideQuery(msgspec.Struct, frozen=True, tag="decide", tag_field="request"):
    """Answered when what is held back of a tree, on whichever nodes, is being approved; says on which.

    ``tree`` is its name, or ``path`` its root. Code ``not_held`` where nothing is held back.
    """

    tree: str
    path: bytes


class BanQuery(msgspec.Struct, frozen=True, tag="ban", tag_field="request"):
    """Answered when the ban of a node, or its lifting, holds here and is on its way to all who are online."""

    node: str
    banned: bool = True


class ReloadQuery(msgspec.Struct, frozen=True, tag="reload", tag_field="request"):
    """Takes up configuration and key file as SIGHUP does; code ``not_reloaded`` says what is wrong in them."""


class VersionsQuery(msgspec.Struct, frozen=True, tag="versions", tag_field="request"):
    """Answered with a list of :class:`KeptVersion`, oldest first: of a path (as in WhyQuery), or of all trees."""

    path: bytes | None = None
    word: bytes = b""


class RestoreQuery(msgspec.Struct, frozen=True, tag="restore", tag_field="request"):
    """Answered with :class:`Restored` when the version (None: the newest) is back, and known as a change.

    Of a directory without versions of its own, all below it that is gone comes back. Code ``failed`` where nothing can.
    Of a whole tree (its name as ``word``, or its root) it undoes what is held back, as DecideQuery approves it.
    """

    path: bytes
    word: bytes = b""
    version: str | None = None


Query: TypeAlias = (
    StatusQuery
    | FlushQuery
    | LockQuery
    | UnlockQuery
    | RescanQuery
    | ConflictsQuery
    | WhyQuery
    | DecideQuery
    | BanQuery
    | ReloadQuery
    | VersionsQuery
    | RestoreQuery
)


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer: ``ok``, or a stable ``code`` and a text for people; ``data`` depends on the request."""

    ok: bool
    code: str = ""
    text: str = ""
    data: msgspec.Raw = msgspec.Raw(b"null")


class Rescanned(msgspec.Struct, frozen=True):
    """How many changes a rescan found, by tree."""

    changes: dict[str, int]


class ConflictCopy(msgspec.Struct, frozen=True):
    """The losing side of two concurrent edits; the path is relative to the tree's own."""

    tree: str
    root: str
    path: bytes
    size: int
    mtime_ns: int


class KeptVersion(msgspec.Struct, frozen=True):
    """What was replaced at ``kept_ns`` (since 1970); the path is relative to the tree's own.

    ``path`` is for people: bytes that are no UTF-8 are written as in a Python string. ``path_base64`` is exact.
    """

    tree: str
    root: str
    path: str
    path_base64: bytes
    id: str
    kind: str
    size: int
    mtime_ns: int
    kept_ns: int


class Restored(msgspec.Struct, frozen=True):
    """Paths of the tree that are back (directories made for them too), and those that are not, and why."""

    tree: str
    root: str
    paths: tuple[bytes, ...]
    failed: tuple[tuple[bytes, str], ...] = ()


_encoder = msgspec.json.Encoder()
_queries: msgspec.json.Decoder[Query] = msgspec.json.Decoder(Query)
_replies = msgspec.json.Decoder(Reply)


def encode_line(message: msgspec.Struct) -> bytes:
    """One line, newline included."""
    return _encoder.encode(message) + b"\n"


def decode_query(line: bytes) -> Query:
    """Raises msgspec.DecodeError for what is no request."""
    return _queries.decode(line)


def decode_reply(line: bytes) -> Reply:
    """Raises msgspec.DecodeError for what is no reply."""
    return _replies.decode(line)


def success(data: object = None, text: str = "") -> Reply:
    return Reply(True, text=text, data=msgspec.Raw(_encoder.encode(data)))


def failure(code: str, text: str) -> Reply:
    return Reply(False, code, text)
