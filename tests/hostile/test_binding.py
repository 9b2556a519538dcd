"""Each chunk is bound to its transfer and to its content: what is visible was written by somebody, whole."""

from __future__ import annotations

from random import Random

import msgspec
import pytest

from l2sync.frames import Keyring, Kind, pack_data, parse_data, parse_header
from l2sync.link import Rules
from l2sync.modtree import Entry
from tests.simulation.world import KEY, MS, SECOND, Host, World

from .test_memory import part_of_chunk
from .worlds import PRECIOUS, attacked, content, honest, node, work_goes_on

NAMES = [b"a", b"b", b"c"]


class Transfers:
    """Files that are written again and again; at every moment each is whole, in a version that somebody wrote."""

    def __init__(self, hosts: int, seed: int) -> None:
        self.rng = Random(seed)
        self.world = World(hosts, seed=seed, rules=Rules(loss=0.1, rate=8_000_000))
        self.written: dict[bytes, set[bytes]] = {name: set() for name in NAMES}
        self.world.start(*self.world.hosts[:2])
        assert self.world.run(10 * SECOND, self.world.joined)

    def write(self, host: Host) -> None:
        """A new version: lengths differ, so that a chunk of one in another would be seen."""
        name = self.rng.choice(NAMES)
        data = self.rng.randbytes(self.rng.randrange(1, 300_000))
        self.written[name].add(data)
        self.world.write(host, name, data)

    def whole(self) -> bool:
        """Whether every visible file is one that was written, on every host."""
        for host in self.world.hosts:
            for name in NAMES:
                seen = content(host, name)
                if seen is not None and seen not in self.written[name]:
                    return False
        return True


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_who_joins_or_begins_anew_in_the_middle_of_transfers_never_writes_the_wrong_stream(seed: int) -> None:
    transfers = Transfers(3, seed)
    world, late = transfers.world, transfers.world.hosts[2]
    for turn in range(12):
        transfers.write(world.hosts[turn % 2])
        world.run(transfers.rng.randrange(1, 400) * MS)
        if late.node is not None and turn % 3 == 2:
            world.kill(late)
        elif late.node is None:
            world.start(late)
        assert transfers.whole()
    if late.node is None:
        world.start(late)
    assert world.run(120 * SECOND, lambda: world.in_sync() and world.same())
    assert transfers.whole()


@pytest.mark.slow
def test_data_of_one_batch_said_as_that_of_another_is_never_visible() -> None:
    """A hostile member hears an honest transfer, and says its data under numbers of batches of its own."""
    world, mallory = attacked()
    heard: list[tuple[int, int, int, int, bytes]] = []
    reader = Keyring("sim", {1: KEY}, 1)

    def listen(source: int, receiver: int, frame: bytes) -> bool:
        header = parse_header(frame)
        if header.kind == Kind.DATA and source == world.hosts[0].port:
            heard.append(parse_data(reader.open(header, frame)))
        return False

    world.segment.drop_when = listen
    secret = Random(3).randbytes(100_000)
    world.write(world.hosts[0], b"keep/other", secret)
    world.run(2 * SECOND)
    world.segment.drop_when = None
    assert heard and content(world.hosts[1], b"keep/other") == secret
    sample = next(e for e in node(world.hosts[0]).trees["www"].tree.entries() if e.path == b"keep/me")
    for batch in range(1, 5):
        mallory.lock(batch, b"keep/me")
        mallory.offer(batch, raised(sample, batch))
        world.run(20 * MS)
        for _, generation, k, symbol, payload in heard:
            mallory.say(Kind.DATA, pack_data(batch, generation, k, symbol, payload))
        # And content of its own that is not what the entry's hash says, of the right length.
        mallory.say(Kind.DATA, pack_data(batch, 60 + batch, 1, 0, part_of_chunk(0, bytes(len(PRECIOUS)))))
        mallory.unlock(batch)
        world.run(2 * SECOND)
        for host in honest(world):
            assert content(host, b"keep/me") == PRECIOUS and content(host, b"keep/other") == secret
    assert work_goes_on(world, b"after")


def raised(entry: Entry, times: int) -> Entry:
    """A newer version of an entry, of other content that nobody has."""
    counter = entry.version.counter(77) + times
    chunks = Random(times).randbytes(32) + entry.chunks[32:]
    return msgspec.structs.replace(entry, chunks=chunks, version=entry.version.advance(77, counter), dot=(77, counter))
