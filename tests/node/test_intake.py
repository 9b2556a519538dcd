"""Data frames in runs: the same comes of them as of each frame by itself, whatever lies between them."""

from __future__ import annotations

from random import Random

import pytest

from l2sync.frames import HEADER_SIZE, NOID, OVERHEAD, Keyring, Kind, pack_data
from l2sync.node.api import Store
from tests.simulation.world import KEY, SECOND, Host, World

BATCH = 9
PAYLOAD = bytes(100)


class Stream:
    """Seals data frames in a member's own session."""

    def __init__(self, sender: Host, keyring: Keyring | None = None) -> None:
        assert sender.node is not None
        self.cluster = sender.node.cluster
        self.keyring = keyring or Keyring("sim", {1: KEY}, 1)

    def seal(self, body: bytes, serial: int | None = None, session: int | None = None, kind: Kind = Kind.DATA) -> bytes:
        cluster = self.cluster
        serial = cluster.next_serial() if serial is None else serial
        return self.keyring.seal(kind, cluster.source_id, NOID, session or cluster.session, serial, body)

    def data(self, number: int) -> bytes:
        return self.seal(pack_data(BATCH, 0, 200, number, PAYLOAD))


@pytest.fixture
def world() -> World:
    made = World(2, seed=9)
    made.start()
    assert made.run(10 * SECOND, made.in_sync)
    return made


def take(host: Host, frames: list[bytes], now: int, whole: bool) -> dict[str, int]:
    """What the counters say after the frames: handed over in one piece, or one by one."""
    assert host.node is not None
    batch: list[tuple[bytes, bytes | None]] = [(frame, b"\2\0\0\0\0\1") for frame in frames]
    pieces = [batch] if whole else [[one] for one in batch]
    before = host.node.counters.copy()
    for piece in pieces:
        at = 0
        while at < len(piece):
            at = host.node.receive_run(piece, at, now)
    return {name: count for name, count in (host.node.counters - before).items() if count}


def mixed(stream: Stream, rng: Random) -> list[bytes]:
    """Good frames with forged, cut, repeated, foreign and empty ones, and other kinds, between them."""
    good = [stream.data(number) for number in range(40)]
    foreign = Stream.__new__(Stream)
    foreign.cluster, foreign.keyring = stream.cluster, Keyring("sim", {1: bytes(32)}, 1)
    spoilt = bytearray(stream.data(41))
    spoilt[HEADER_SIZE] ^= 1
    others = [
        bytes(spoilt),
        stream.data(42)[:-1],
        stream.data(43)[:OVERHEAD],
        stream.data(44) + bytes(20),
        foreign.data(45),
        stream.seal(b"cut"),
        stream.seal(pack_data(BATCH, 0, 1, 0, b"")[:-2] + b"\0\0"),
        stream.seal(pack_data(BATCH + 1, 7, 3, 1, PAYLOAD)),
        stream.seal(pack_data(BATCH, 0, 200, 46, PAYLOAD), session=12345),
        stream.seal(b"", kind=Kind.REPAIR),
        b"",
        b"L2\1\x0c",
        *rng.sample(good, 5),
    ]
    frames = [*good, *others]
    rng.shuffle(frames)
    return frames


@pytest.mark.parametrize("seed", range(5))
def test_a_run_leaves_what_its_frames_leave_one_by_one(seed: int) -> None:
    told = []
    for whole in (True, False):
        world = World(2, seed=9)
        world.start()
        assert world.run(10 * SECOND, world.in_sync)
        frames = mixed(Stream(world.hosts[1]), Random(seed))
        told.append(take(world.hosts[0], frames, world.now, whole))
    assert told[0] == told[1]
    assert told[0]["bad_forged"] == 2 and told[0]["replayed"] == 5 and told[0]["bad_malformed"] >= 2


def test_a_recorded_run_says_nothing_new(world: World) -> None:
    stream = Stream(world.hosts[1])
    frames = [stream.data(number) for number in range(50)]
    assert take(world.hosts[0], frames, world.now, whole=True) == {
        "frames_in_data": 50,
        "bytes_in_data": sum(map(len, frames)),
    }
    assert take(world.hosts[0], frames, world.now, whole=True)["replayed"] == 50


def test_data_of_a_batch_that_nobody_announced_is_stored_nowhere(world: World) -> None:
    stream, node = Stream(world.hosts[1]), world.hosts[0].node
    assert node is not None
    take(world.hosts[0], [stream.data(number) for number in range(200)], world.now, whole=True)
    assert not any(isinstance(effect, Store) for effect in node.take_effects())
