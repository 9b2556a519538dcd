"""What was received once is not received again, though its batch never ended."""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import pytest

from l2sync.disk import Paused
from l2sync.modtree import Entry

from .conftest import Replica, chunk_table, differences

Pair = tuple[Replica, Replica]
SIZE = 1_000_000
CHUNKS = 8


@pytest.fixture
def half(pair: Pair) -> tuple[Replica, Replica, list[Entry], tuple[int, int]]:
    """B has received half of a file that A offers."""
    a, b = pair
    (a.root / "big").write_bytes(random.Random(1).randbytes(SIZE))
    made = a.scan()
    key = (9, 1)
    feed(a, b, made, key, range(CHUNKS // 2))
    return a, b, made, key


def feed(a: Replica, b: Replica, entries: list[Entry], key: tuple[int, int], numbers: range) -> list[int]:
    """Prepare a batch on B and give it some chunks; what was missing."""
    table, places = chunk_table(entries)
    prepared = b.store.prepare(key, entries, table)
    wanted = [(n, *places[n], table[n].length, table[n].hash) for n in numbers if n in prepared.missing]
    b.store.store(key, [(n, data) for n, data in a.store.read_chunks(wanted) if data is not None])
    return prepared.missing


def staged(b: Replica) -> list[str]:
    return os.listdir(b.root / ".l2sync" / "staging")


def test_another_batch_goes_on_where_one_was_given_up(
    half: tuple[Replica, Replica, list[Entry], tuple[int, int]],
) -> None:
    a, b, made, key = half
    b.store.discard(key)
    assert not b.receive(a, made).failed
    assert b.missing == list(range(CHUNKS // 2, CHUNKS))
    assert differences(a, b) == []
    assert staged(b) == []


def test_the_same_batch_goes_on_where_it_was_given_up(
    half: tuple[Replica, Replica, list[Entry], tuple[int, int]],
) -> None:
    a, b, made, key = half
    b.store.discard(key)
    assert feed(a, b, made, key, range(CHUNKS)) == list(range(CHUNKS // 2, CHUNKS))
    assert not b.commit(key, made).failed
    assert differences(a, b) == []
    assert staged(b) == []


@pytest.mark.parametrize("orderly", [True, False])
def test_a_restart_does_not_lose_what_was_received(
    half: tuple[Replica, Replica, list[Entry], tuple[int, int]], orderly: bool
) -> None:
    a, b, made, _ = half
    if orderly:
        b.store.close()
    b.open()
    assert not b.receive(a, made).failed
    assert b.missing == list(range(CHUNKS // 2, CHUNKS))
    b.reopen()
    assert staged(b) == []


def test_what_was_kept_survives_restarts_until_it_is_of_no_use(
    half: tuple[Replica, Replica, list[Entry], tuple[int, int]],
) -> None:
    a, b, _, key = half
    b.store.discard(key)
    b.reopen()
    b.reopen()
    assert len(staged(b)) == 1
    (a.root / "big").write_bytes(b"something else")
    assert not b.mirror(a).failed
    assert staged(b) == []


def test_torn_pieces_are_received_again(half: tuple[Replica, Replica, list[Entry], tuple[int, int]]) -> None:
    a, b, made, key = half
    b.store.discard(key)
    (kept,) = (b.root / ".l2sync" / "staging").glob("*/*")
    with open(kept, "r+b") as file:
        file.seek(10)
        file.write(b"torn by a power loss")
    assert not b.receive(a, made).failed
    assert b.missing == [0, *range(CHUNKS // 2, CHUNKS)]
    assert differences(a, b) == []


def test_a_batch_that_received_nothing_leaves_nothing(pair: Pair) -> None:
    a, b = pair
    (a.root / "f").write_text("f")
    feed(a, b, a.scan(), (9, 1), range(0))
    b.store.discard((9, 1))
    assert staged(b) == []


def test_only_so_many_batches_are_kept(pair: Pair) -> None:
    a, b = pair
    for number in range(12):
        (a.root / f"f{number}").write_bytes(random.Random(number).randbytes(300_000))
        made = [entry for entry in a.scan() if entry.path]
        feed(a, b, made, (9, number), range(1))
        b.store.discard((9, number))
    assert len(staged(b)) == 8
    b.reopen()
    assert len(staged(b)) == 8


def test_strange_files_in_the_staging_area_are_removed_at_the_start(replica: Callable[..., Replica]) -> None:
    b = replica("b")
    b.scan()
    area = b.root / ".l2sync" / "staging"
    (area / "some" / "deep").mkdir(parents=True)
    (area / "file").touch()
    os.symlink("/", area / "link")
    b.reopen()
    assert staged(b) == []
    assert os.path.isdir("/")


def test_a_full_disk_costs_what_was_kept(
    half: tuple[Replica, Replica, list[Entry], tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, _, key = half
    b.store.discard(key)
    (a.root / "f").write_text("f")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    made = [entry for entry in a.scan() if entry.path == b"f"]
    with monkeypatch.context() as patch, pytest.raises(Paused, match="no space"):
        patch.setattr(os, "pwrite", full)
        feed(a, b, made, (9, 2), range(1))
    assert staged(b) == ["0000000000000009-2"]
    assert not b.receive(a, made).failed
