"""Trees in a temporary directory, and a stand-in for the node: what one store sees, another is made to show."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec
import pytest

from l2sync.disk import CommitResult, TreeOptions, TreeStore
from l2sync.modtree import Chunk, Entry, Observation, Target, TreePath, to_entry

_numbers = itertools.count(1)


class Replica:
    """A tree, its store, and the entries that a node would hold of it."""

    def __init__(self, base: Path, name: str, options: TreeOptions) -> None:
        self.name = name
        self.root = base / name
        self.state = base / f"{name}-state"
        self.root.mkdir(exist_ok=True)
        self.options = options
        self.open()

    def open(self) -> None:
        self.store = TreeStore.open("tree", self.root, self.state, self.options, self.name)
        self.entries = {entry.path: entry for entry in self.store.load()}
        self.counter = self.store.counter

    def reopen(self) -> None:
        self.store.close()
        self.open()

    def scan(self, *paths: bytes) -> list[Entry]:
        """Scan (no paths: all) and persist; the entries made."""
        return self.take(self.store.scan([TreePath(path) for path in paths] if paths else None))

    def take(self, observations: Iterable[Observation]) -> list[Entry]:
        """Persist what was seen; the entries made."""
        made = []
        for seen in observations:
            self.counter += 1
            old = self.entries.get(seen.path)
            made.append(to_entry(seen, old, self.store.replica, self.counter, self.name))
        self.store.persist(made, self.counter)
        self.entries.update((entry.path, entry) for entry in made)
        return made

    def receive(self, source: Replica, entries: Iterable[Entry]) -> CommitResult:
        """Prepare, fetch what is missing from the source, commit."""
        key, entries = self.stage(source, entries)
        assert not self.unstaged
        return self.commit(key, entries)

    def stage(self, source: Replica, entries: Iterable[Entry]) -> tuple[tuple[int, int], list[Entry]]:
        key, entries = self.prepare(entries)
        self.deliver(source, key, entries)
        return key, entries

    def prepare(self, entries: Iterable[Entry]) -> tuple[tuple[int, int], list[Entry]]:
        """Stage what is at hand; ``unstaged`` says what cannot be."""
        entries = list(entries)
        key = (7, next(_numbers))
        prepared = self.store.prepare(key, entries, chunk_table(entries)[0])
        self.missing, self.unstaged = prepared.missing, prepared.failed
        return key, entries

    def deliver(self, source: Replica, key: tuple[int, int], entries: list[Entry]) -> None:
        """Fetch what is missing from the source, a few chunks at a time."""
        table, places = chunk_table(entries)
        for at in range(0, len(self.missing), 8):
            wanted = [(n, *places[n], table[n].length, table[n].hash) for n in self.missing[at : at + 8]]
            got = source.store.read_chunks(wanted)
            self.store.store(key, [(n, data) for n, data in got if data is not None])

    def commit(self, key: tuple[int, int], entries: Iterable[Entry]) -> CommitResult:
        result = self.store.commit(key, [self.target(entry) for entry in entries])
        self.entries.update((entry.path, entry) for entry in result.applied)
        return result

    def target(self, entry: Entry) -> Target:
        """The entry as the winner over what is known here, whatever that is."""
        known = self.entries.get(entry.path)
        if known is not None:
            entry = msgspec.structs.replace(entry, version=entry.version.join(known.version))
        return Target(entry, known)

    def mirror(self, source: Replica) -> CommitResult:
        """Scan the source, bring all that is new there over here."""
        return self.receive(source, source.scan())


def chunk_table(entries: list[Entry]) -> tuple[list[Chunk], list[tuple[TreePath, int]]]:
    table: list[Chunk] = []
    places: list[tuple[TreePath, int]] = []
    known: set[bytes] = set()
    for entry in entries:
        offset = 0
        for chunk in entry.chunk_list():
            if chunk.hash not in known:
                known.add(chunk.hash)
                table.append(chunk)
                places.append((entry.path, offset))
            offset += chunk.length
    return table, places


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Callable[..., Replica]]:
    made: list[Replica] = []

    def make(name: str, **options: object) -> Replica:
        made.append(Replica(tmp_path, name, TreeOptions(**options)))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.store.close()


@pytest.fixture
def pair(replica: Callable[..., Replica]) -> tuple[Replica, Replica]:
    a, b = replica("a"), replica("b")
    b.scan()  # a node knows its own root before it takes in anything
    return a, b


def differences(a: Replica, b: Replica) -> list[str]:
    """What rsync, as a judge, finds different between two trees."""
    command = ["rsync", "-aHAXnc", "--delete", "--itemize-changes", "--exclude=/.l2sync", f"{a.root}/", f"{b.root}/"]
    return subprocess.run(command, check=True, capture_output=True, text=True, errors="replace").stdout.splitlines()
