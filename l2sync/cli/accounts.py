"""All nodes' accounts of a path, as sentences for people.

Every field has a default and unknown ones are skipped: the command may be older or newer than the agent.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec

from .tables import amount
from .view import LockView, printable


class Version(msgspec.Struct, frozen=True):
    kind: str = ""
    size: int = 0
    mtime_ns: int = 0
    mode: int = 0
    uid: int = 0
    gid: int = 0
    author: str = ""
    id: str = ""


class Remark(msgspec.Struct, frozen=True):
    about: str = ""
    text: str = ""
    again_s: int | None = None


class Trouble(msgspec.Struct, frozen=True):
    path: str = ""
    about: str = ""
    text: str = ""


class Account(msgspec.Struct, frozen=True):
    name: str = ""
    here: bool = False
    state: str = ""
    version: Version | None = None
    remarks: tuple[Remark, ...] = ()
    below: tuple[Trouble, ...] = ()
    in_trouble: int = 0
    last_seen_s: float | None = None


class Why(msgspec.Struct, frozen=True):
    tree: str = ""
    path: str = ""
    nodes: tuple[Account, ...] = ()
    newest: Version | None = None
    locks: tuple[LockView, ...] = ()
    same_everywhere: bool = False


_KINDS = {"file": "a file", "dir": "a directory", "link": "a symbolic link", "fifo": "a FIFO", "socket": "a socket"}
_REMARKS = {
    "pending": "It is {text}.",
    "receiving": "It is being received {text}.",
    "failing": "It cannot be brought up to date there: {text}{again}.",
    "unreadable": "It cannot be read there: {text}{again}.",
    "ignored": "It is ignored there, by {text}: changes made there are not told to the others.",
    "paused": "The tree is paused there: {text}.",
    "scanning": "The tree is still being scanned there.",
    "changed": "It has changed on that node's disk, and the change has not been taken up yet.",
    "unsupported": "{text} stands there, which is not kept in sync.",
}


def sentences(why: Why) -> Iterator[str]:
    """The whole answer, a line each."""
    yield f"{why.tree}:{printable(why.path) or '/'}"
    yield _headline(why)
    for node in why.nodes:
        yield from _account(node, why.newest)
    for lock in why.locks:
        state = "is locked by" if lock.granted else "is to be locked by"
        purpose = "a user there" if lock.purpose == "user" else "a change of its own"
        yield f"{_listed(lock.paths)} {state} {printable(lock.holder)}, for {purpose}."


def _headline(why: Why) -> str:
    if why.newest is None:
        return "No node that answered has ever heard of it."
    if why.newest.kind == "tombstone":
        return f"It was deleted {_written(why.newest)}."
    return f"It is {_described(why.newest)}, written {_written(why.newest)}."


def _account(node: Account, newest: Version | None) -> Iterator[str]:
    name = printable(node.name) + (" (here)" if node.here else "")
    yield f"  {name}: {_state(node, newest)}"
    for remark in node.remarks:
        again = "" if remark.again_s is None else f" (tried again in {remark.again_s} s)"
        form = _REMARKS.get(remark.about, "{text}")
        text = form.format(text=printable(remark.text), again=again)
        yield f"      {text[:1].upper()}{text[1:]}"
    for trouble in node.below:
        what = "cannot be read" if trouble.about == "unreadable" else "cannot be brought up to date"
        yield f"      {printable(trouble.path)} {what}: {printable(trouble.text)}"
    if node.in_trouble > len(node.below):
        yield f"      and {node.in_trouble - len(node.below)} more below it"


def _state(node: Account, newest: Version | None) -> str:
    match node.state:
        case "same":
            return "knows that it was deleted." if newest is not None and newest.kind == "tombstone" else "has it."
        case "older":
            return f"has an older version: {_version(node.version)}."
        case "concurrent":
            return f"has another version, made without knowledge of that one: {_version(node.version)}."
        case "none":
            return "has never heard of it." if newest is not None else "knows of nothing there."
        case "no tree":
            return "does not keep this tree."
        case "silent":
            return "did not answer in time."
        case "unreachable":
            seen = "" if node.last_seen_s is None else f", last heard {node.last_seen_s:.0f} s ago"
            return f"cannot be reached{seen}."
    return node.state


def _version(version: Version | None) -> str:
    if version is None:
        return "unknown"
    what = "deleted" if version.kind == "tombstone" else f"{_described(version)}, written"
    return f"{what} {_written(version)}"


def _described(version: Version) -> str:
    what = _KINDS.get(version.kind, version.kind)
    size = f" of {version.size:,} bytes" if version.kind == "file" else ""
    size += f" ({amount(version.size)})" if version.kind == "file" and version.size >= 1024 else ""
    owner = f"{version.uid}:{version.gid}"
    return f"{what}{size}, mode {version.mode:04o}, owner {owner}, modified {_time(version.mtime_ns)}"


def _written(version: Version) -> str:
    return f"on {printable(version.author) or 'an unknown node'} (version {version.id})"


def _time(mtime_ns: int) -> str:
    seconds, fraction = divmod(mtime_ns, 1_000_000_000)
    try:
        when = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    except OverflowError:
        return f"{seconds} s after 1970"
    return f"{when:%Y-%m-%d %H:%M:%S}.{fraction:09d} UTC"


def _listed(paths: tuple[str, ...]) -> str:
    shown = ", ".join(printable(path) for path in paths[:3])
    return shown + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
