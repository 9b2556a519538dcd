"""Entries as short literals, and strategies that make them."""

from __future__ import annotations

from blake3 import blake3
from hypothesis import strategies as st

from l2sync.modtree import Chunk, Entry, Kind, Observation, VersionVector, pack_chunks, to_entry, tree_path


def file(path: bytes, data: bytes = b"", mtime: int = 1, mode: int = 0o644) -> Observation:
    """A file as a scan sees it."""
    chunks = pack_chunks([Chunk(blake3(data).digest(), len(data))]) if data else b""
    return Observation(path=tree_path(path), kind=Kind.FILE, mode=mode, mtime_ns=mtime, size=len(data), chunks=chunks)


def folder(path: bytes, mtime: int = 1) -> Observation:
    """A directory as a scan sees it."""
    return Observation(path=tree_path(path), kind=Kind.DIR, mode=0o755, mtime_ns=mtime)


def nothing(path: bytes) -> Observation:
    """A path where nothing is."""
    return Observation(path=tree_path(path), kind=Kind.TOMBSTONE)


def written(seen: Observation, by: int = 1, count: int = 1, over: Entry | None = None) -> Entry:
    """The version that a replica makes of it."""
    return to_entry(seen, over, by, count, f"web{by}")


NAMES = st.binary(min_size=1, max_size=12).filter(lambda n: b"/" not in n and b"\0" not in n and n not in (b".", b".."))


@st.composite
def entries(draw: st.DrawFn, path: bytes | None = None) -> Entry:
    """Any entry of a file, directory, link or nothing."""
    place = path if path is not None else b"x/" + b"/".join(draw(st.lists(NAMES, min_size=1, max_size=3)))
    kind = draw(st.sampled_from([Kind.FILE, Kind.DIR, Kind.LINK, Kind.TOMBSTONE]))
    data = draw(st.binary(max_size=20)) if kind is Kind.FILE else b""
    dots = draw(st.dictionaries(st.integers(1, 4), st.integers(1, 5), min_size=1))
    writer = draw(st.sampled_from(sorted(dots)))
    return Entry(
        path=tree_path(place),
        kind=kind,
        mode=draw(st.integers(0, 0o7777)),
        uid=draw(st.integers(0, 2**32 - 1)),
        gid=draw(st.integers(0, 2**32 - 1)),
        mtime_ns=draw(st.integers(-(10**19), 10**20)),
        size=len(data),
        target=draw(st.binary(min_size=1, max_size=9)).replace(b"\0", b"n") if kind is Kind.LINK else b"",
        chunks=pack_chunks([Chunk(blake3(data).digest(), len(data))]) if data else b"",
        version=VersionVector(dots.items()),
        author=draw(st.sampled_from(["web1", "db-2", "näm"])),
        dot=(writer, dots[writer]),
    )
