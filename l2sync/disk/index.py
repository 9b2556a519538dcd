"""The index of one tree: every entry known, with the signature of the file it was last seen to stand for."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from l2sync.modtree import Entry, Kind, TreePath, pack_entry, unpack_entry

from .changes import Change, chunk_rows, short_hash

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entry(id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE, kind INTEGER NOT NULL,
    packed BLOB NOT NULL, signature BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS chunk(hash INTEGER NOT NULL, entry INTEGER NOT NULL, offset INTEGER NOT NULL,
    PRIMARY KEY(hash, entry, offset)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS link(label BLOB NOT NULL, entry INTEGER NOT NULL, PRIMARY KEY(label, entry)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS inode ON entry(substr(signature, 1, 8)) WHERE kind NOT IN (0, 2);
CREATE TABLE IF NOT EXISTS journal(batch TEXT NOT NULL, packed BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS leftover(batch TEXT NOT NULL, packed BLOB NOT NULL);
CREATE TEMP TABLE wanted_path(path BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TEMP TABLE wanted_hash(hash INTEGER PRIMARY KEY);
"""
_ONE_BY_ONE = 4
"""Paths that are faster asked for one after the other than by a table of them: that takes five statements."""
_FEW = 16
"""Of more paths it is asked first whether anything is known between them: of what is new, mostly nothing is."""
_ROWS_A_STEP = 64
_CANDIDATES = 4
"""So many local places of one chunk are tried, at the most."""


class Row(NamedTuple):
    """What the index holds of one path; ``signature`` is empty where the disk has to be read to know."""

    id: int
    kind: Kind
    packed: bytes
    signature: bytes

    @property
    def alive(self) -> bool:
        """Whether something should stand there."""
        return self.kind is not Kind.TOMBSTONE

    def entry(self) -> Entry:
        """The entry itself."""
        return unpack_entry(self.packed)[0]


class Noted(NamedTuple):
    """An entry of a batch, and as it is packed: once for the journal and for what comes of it."""

    entry: Entry
    packed: bytes


class Place(NamedTuple):
    """Where a local file may hold a chunk: to be verified, for the file may have changed."""

    path: TreePath
    offset: int


class Index:
    """An SQLite file in WAL mode; used by one thread at a time. Raises sqlite3.Error."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = path
        self._meta: dict[str, str] | None = None
        """What is remembered, as far as it has been read: nobody else writes to the file."""
        self._db = self._connect()
        if self.meta("replica") is None:
            self.renew(None, 0)
            self.set_meta("marker", secrets.token_hex(16))
        self._next_id = 1 + int(self._db.execute("SELECT coalesce(max(id), 0) FROM entry").fetchone()[0])

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("PRAGMA temp_store=MEMORY")
        db.execute("PRAGMA cache_size=-8192")
        db.executescript(_SCHEMA)
        return db

    def reconnect(self) -> None:
        """Open the file afresh: a connection keeps some errors (locks, mapped memory) after their cause is gone."""
        self._db.close()
        self._meta = None
        self._db = self._connect()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # --- meta -------------------------------------------------------------------------------------

    def meta(self, key: str) -> str | None:
        """One remembered value."""
        if self._meta is None:
            self._meta = dict(self._db.execute("SELECT key, value FROM meta"))
        return self._meta.get(key)

    def read_again(self) -> None:
        """Ask the file for what is remembered when it is next asked for, which finds out whether it can be read."""
        self._meta = None

    def set_meta(self, key: str, value: str) -> None:
        """Remember a value."""
        self._db.execute("INSERT OR REPLACE INTO meta VALUES(?, ?)", (key, value))
        if self._meta is not None:
            self._meta[key] = value

    @property
    def together(self) -> int | None:
        """When the tree was last the same as the others', in seconds since 1970."""
        known = self.meta("together")
        return int(known) if known else None

    @property
    def replica(self) -> int:
        """Under which number this index's own writes are counted."""
        return int(self.meta("replica") or 0)

    @property
    def counter(self) -> int:
        """How many writes were counted."""
        return int(self.meta("counter") or 0)

    def renew(self, replica: int | None, counter: int) -> int:
        """Count from now on under this replica (None: a new random one)."""
        chosen = replica or secrets.randbits(63) + 1
        with self._transaction():
            self.set_meta("replica", str(chosen))
            self.set_meta("counter", str(counter))
        return chosen

    # --- reading ----------------------------------------------------------------------------------

    def packed(self) -> Iterator[bytes]:
        """Every entry as it is packed, tombstones too, in no order: by path, each row of a million is looked up."""
        for (packed,) in self._db.execute("SELECT packed FROM entry"):
            yield packed

    def populated(self) -> bool:
        """Whether anything but the root is known to stand in the tree."""
        return self._db.execute("SELECT 1 FROM entry WHERE kind<>0 AND path<>x'' LIMIT 1").fetchone() is not None

    def row(self, path: TreePath) -> Row | None:
        """What is known of one path."""
        found = self._db.execute("SELECT id, kind, packed, signature FROM entry WHERE path=?", (path,)).fetchone()
        return None if found is None else Row(found[0], Kind(found[1]), found[2], found[3])

    def rows(self, paths: Iterable[TreePath]) -> dict[TreePath, Row]:
        """What is known of many paths; unknown ones are left out."""
        paths = set(paths)
        if len(paths) <= _ONE_BY_ONE:
            return {path: row for path in paths if (row := self.row(path)) is not None}
        if len(paths) > _FEW and not self._any_between(min(paths), max(paths)):
            return {}
        query = "SELECT path, id, kind, packed, signature FROM wanted_path CROSS JOIN entry USING(path)"
        found = self._joined(query, paths)
        return {TreePath(path): Row(number, Kind(kind), packed, sig) for path, number, kind, packed, sig in found}

    def _any_between(self, first: TreePath, last: TreePath) -> bool:
        found = self._db.execute("SELECT 1 FROM entry WHERE path>=? AND path<=? LIMIT 1", (first, last))
        return found.fetchone() is not None

    def _joined(self, query: str, paths: Iterable[TreePath]) -> list[Any]:
        """Run a query in which ``wanted_path`` is the paths."""
        self._db.execute("BEGIN")
        try:
            self._insert("INSERT OR IGNORE INTO wanted_path", [(path,) for path in paths])
            return self._db.execute(query).fetchall()
        finally:
            self._db.execute("DELETE FROM wanted_path")
            self._db.execute("COMMIT")

    @property
    def most_rows(self) -> int:
        """No row has a number as high as this."""
        return self._next_id

    def signatures(self, paths: Iterable[TreePath]) -> list[tuple[TreePath, int, bytes]]:
        """Path, row number and signature of those of the paths that should stand in the tree."""
        query = "SELECT path, id, signature FROM wanted_path CROSS JOIN entry USING(path) WHERE kind<>0"
        return self._joined(query, paths)

    def numbers(self) -> Iterator[tuple[TreePath, int]]:
        """Path and row number of all that should stand in the tree, in no order."""
        yield from self._db.execute("SELECT path, id FROM entry WHERE kind<>0")

    def seen(self) -> Iterator[tuple[TreePath, bytes]]:
        """Of all that was seen to stand in the tree, by path, in no order."""
        query = "SELECT path, signature FROM entry WHERE kind<>0 AND length(signature)>0"
        return ((TreePath(path), sig) for path, sig in self._db.execute(query))

    def any_below(self, directory: TreePath) -> bool:
        """Whether anything was ever known strictly below a directory."""
        query = "SELECT 1 FROM entry WHERE path>? AND path<? LIMIT 1"
        return self._db.execute(query, _span(directory)).fetchone() is not None

    def alive(self, under: TreePath) -> list[TreePath]:
        """All that should stand in the tree strictly below a directory."""
        found = self._db.execute("SELECT path FROM entry WHERE kind<>0 AND path>? AND path<?", _span(under))
        return [TreePath(path) for (path,) in found]

    def children(self, directory: TreePath) -> dict[TreePath, bytes]:
        """Signatures of what should stand directly in a directory, with no walk through what is deeper."""
        start, high = (directory + b"/", directory + b"0") if directory else (b"\0", b"\xff" * 256)
        found: dict[TreePath, bytes] = {}
        skip = len(directory) + 1 if directory else 0
        query = "SELECT path, kind, signature FROM entry WHERE path>=? AND path<? ORDER BY path"
        while start:
            rows, start = self._db.execute(query, (start, high)), b""
            for path, kind, sig in rows:
                deep = path.find(b"/", skip)
                if deep >= 0:
                    start = path[:deep] + b"0"  # the byte after "/": past all that is below this child
                    rows.close()
                    break
                if kind:
                    found[TreePath(path)] = sig
        return found

    def find_chunks(self, hashes: Iterable[bytes]) -> dict[bytes, list[Place]]:
        """Local places of these chunks, as far as 64 bits of their hashes tell."""
        wanted = {short_hash(one): one for one in hashes}
        if not wanted or self._db.execute("SELECT 1 FROM chunk LIMIT 1").fetchone() is None:
            return {}
        found: dict[bytes, list[Place]] = {}
        for short, path, offset in self._chunks(list(wanted)):
            places = found.setdefault(wanted[short], [])
            if len(places) < _CANDIDATES:
                places.append(Place(TreePath(path), offset))
        return found

    def _chunks(self, wanted: list[int]) -> Iterator[tuple[int, bytes, int]]:
        """Short hash, path and offset of each chunk that has one of these hashes."""
        if len(wanted) <= _ONE_BY_ONE:
            query = "SELECT hash, path, offset FROM chunk JOIN entry ON entry.id=entry WHERE hash=?"
            for short in wanted:
                yield from self._db.execute(query, (short,))
            return
        self._db.execute("BEGIN")
        try:
            self._insert("INSERT OR IGNORE INTO wanted_hash", [(short,) for short in wanted])
            yield from self._db.execute(
                "SELECT hash, path, offset FROM wanted_hash CROSS JOIN chunk USING(hash) JOIN entry ON entry.id=entry"
            )
        finally:
            self._db.execute("DELETE FROM wanted_hash")
            self._db.execute("COMMIT")

    def sharing(self, inode: int) -> dict[TreePath, Row]:
        """What was last seen to be a name of this inode."""
        where = "substr(signature, 1, 8)=? AND kind NOT IN (0, 2)"  # as the index of that name is declared
        return self._found(
            f"SELECT path, id, kind, packed, signature FROM entry WHERE {where}", inode.to_bytes(8, "big")
        )

    def labelled(self, label: bytes) -> dict[TreePath, Row]:
        """What stands in the tree and has this hard-link label."""
        return self._found(
            "SELECT path, id, kind, packed, signature FROM link JOIN entry ON entry.id=entry WHERE label=?", label
        )

    def _found(self, query: str, value: bytes) -> dict[TreePath, Row]:
        rows = self._db.execute(query, (value,))
        return {TreePath(path): Row(number, Kind(kind), packed, sig) for path, number, kind, packed, sig in rows}

    # --- writing ----------------------------------------------------------------------------------

    def put(
        self,
        records: list[tuple[Entry, bytes]],
        counter: int | None = None,
        batch: str | None = None,
        known: Mapping[TreePath, Row] | None = None,
        noted: Mapping[TreePath, Noted] | None = None,
    ) -> None:
        """Write entries with their signatures, and the counter, durably; a batch's journal is closed with it.

        ``known``: the rows of these paths as they are now, where the caller has read them already. ``noted``: what the
        batch's journal holds of them.
        """
        old = known if known is not None else self.rows(entry.path for entry, _ in records)
        change = Change()
        for entry, sig in records:
            row, journaled = old.get(entry.path), noted.get(entry.path) if noted else None
            packed = journaled.packed if journaled is not None and journaled.entry is entry else pack_entry(entry)
            if row is None:
                number, self._next_id = self._next_id, self._next_id + 1
            else:
                number = row.id
            change.add(number, entry, row.entry() if row is not None else None)
            change.rows.append((number, entry.path, int(entry.kind), packed, sig))
        with self._transaction():
            if change.gone:
                self._db.executemany("DELETE FROM chunk WHERE hash=? AND entry=? AND offset=?", change.gone)
            self._insert("INSERT OR REPLACE INTO entry", change.rows)
            self._insert("INSERT OR IGNORE INTO chunk", change.made)
            if change.parted:
                self._db.executemany("DELETE FROM link WHERE label=? AND entry=?", change.parted)
            self._insert("INSERT OR IGNORE INTO link", change.linked)
            if counter is not None and counter > self.counter:
                self.set_meta("counter", str(counter))
            if batch is not None:
                self._db.execute("DELETE FROM journal WHERE batch=?", (batch,))

    def forget(self, paths: Iterable[TreePath]) -> None:
        """Have nothing of these paths any more, durably."""
        rows = self.rows(paths)
        gone = [item for row in rows.values() for item in chunk_rows(row.id, row.entry())]
        with self._transaction():
            self._db.executemany("DELETE FROM chunk WHERE hash=? AND entry=? AND offset=?", gone)
            self._db.executemany("DELETE FROM link WHERE entry=?", [(row.id,) for row in rows.values()])
            self._db.executemany("DELETE FROM entry WHERE path=?", [(path,) for path in rows])

    def set_signatures(self, signatures: Iterable[tuple[TreePath, bytes]]) -> None:
        """Note that files look different to stat, though they hold what their entries say. Need not be durable."""
        self._lazily("UPDATE entry SET signature=? WHERE path=?", [(sig, path) for path, sig in signatures])

    # --- the journal of what is on its way in -----------------------------------------------------

    def journal(self, batch: str, entries: Iterable[Entry]) -> dict[TreePath, Noted]:
        """Note what a batch will bring. Outlives the process; may be lost with the power, which costs versions only."""
        noted = {entry.path: Noted(entry, pack_entry(entry)) for entry in entries}
        packed = b"".join([one.packed for one in noted.values()])
        self._lazily("INSERT INTO journal VALUES(?, ?)", [(batch, packed)] if packed else [])
        return noted

    def journaled(self) -> list[Entry]:
        """What batches that never ended would have brought."""
        rows = self._db.execute("SELECT packed FROM journal")
        return [entry for (packed,) in rows for entry in _unpack_all(packed)]

    def close_journal(self, batch: str | None) -> None:
        """Forget a batch (None: all)."""
        if batch is None:
            self._lazily("DELETE FROM journal WHERE ? IS NULL", [(None,)])
        else:
            self._lazily("DELETE FROM journal WHERE batch=?", [(batch,)])

    def keep_journals(self, batch: str | None = None) -> None:
        """A batch (None: all) ends here, but its files stay: note what they were to become."""
        query = "INSERT INTO leftover SELECT batch, packed FROM journal WHERE batch=coalesce(?, batch)"
        self._lazily(query, [(batch,)])

    def leftovers(self) -> dict[str, list[Entry]]:
        """The entries of batches whose files were kept."""
        found: dict[str, list[Entry]] = {}
        for batch, packed in self._db.execute("SELECT batch, packed FROM leftover"):
            found.setdefault(batch, []).extend(_unpack_all(packed))
        return found

    def rename_leftover(self, batch: str, other: str) -> None:
        """A batch's files are kept under another label."""
        self._lazily("UPDATE leftover SET batch=? WHERE batch=?", [(other, batch)])

    def drop_leftover(self, batch: str) -> None:
        """A batch's files are gone."""
        self._lazily("DELETE FROM leftover WHERE batch=?", [(batch,)])

    def _insert(self, into: str, rows: Sequence[tuple[object, ...]]) -> None:
        """Many rows a step: with each step the interpreter is left to other threads, and has to be got back."""
        whole = len(rows) - len(rows) % _ROWS_A_STEP
        for at in range(0, whole, _ROWS_A_STEP):
            some = rows[at : at + _ROWS_A_STEP]
            self._db.execute(_inserting(into, len(some[0]), len(some)), [*chain.from_iterable(some)])
        if rows[whole:]:
            self._db.executemany(_inserting(into, len(rows[0]), 1), rows[whole:])

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All of it or nothing. SQLite itself rolls back on some errors, a full disk among them."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            self._meta = None
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _lazily(self, statement: str, rows: list[tuple[object, ...]]) -> None:
        if not rows:
            return
        self._db.execute("PRAGMA synchronous=NORMAL")
        try:
            with self._transaction():
                self._db.executemany(statement, rows)
        finally:
            self._db.execute("PRAGMA synchronous=FULL")


def _span(directory: TreePath) -> tuple[bytes, bytes]:
    """Between which bytes all paths below a directory lie."""
    return (directory + b"/", directory + b"0") if directory else (b"\0", b"\xff" * 256)


@cache
def _inserting(into: str, columns: int, rows: int) -> str:
    return f"{into} VALUES " + ", ".join(["(" + ", ".join("?" * columns) + ")"] * rows)


def _unpack_all(packed: bytes) -> Iterator[Entry]:
    """The entries of a row that holds many, one after the other."""
    at = 0
    while at < len(packed):
        entry, at = unpack_entry(packed, at)
        yield entry
