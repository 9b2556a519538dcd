"""A member that seals every field of every frame at and beyond its bounds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from l2sync.frames import Codec, Form, Kind, LocalError, Updtree
from l2sync.link import FrameTooLong
from l2sync.modtree import pack_entry
from tests.frames.examples import MESSAGES, PAYLOADS
from tests.simulation.world import MS, SECOND

from .bodies import extreme_bodies, extreme_entries
from .byzantine import WWW
from .sizes import held
from .worlds import PRECIOUS, attacked, content, honest, node, work_goes_on

MOST_HELD = 8 << 20
"""Bytes that a node of such a small world may hold, whatever it was told."""


def bodies(kind: Kind) -> Iterator[tuple[str, bytes]]:
    """Every extreme body of a kind."""
    if kind is not Kind.UPDTREE:
        yield from extreme_bodies(MESSAGES[kind])
        return
    yield from extreme_bodies(Updtree(WWW, 7, Form.ASK, Codec.RAW, PAYLOADS["ask"].pack()))
    for title, payload in PAYLOADS.items():
        for field, wire in extreme_bodies(payload):
            yield f"{title}.{field}", Updtree(WWW, 7, payload.FORM, Codec.RAW, wire).pack()


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(Kind), ids=lambda kind: kind.name.lower())
def test_no_field_of_any_frame_beyond_its_bounds_harms_anybody(kind: Kind) -> None:
    world, mallory = attacked()
    said = 0
    for _, body in bodies(kind):
        for to in (None, world.hosts[0]):
            if not mallory.can_say(to):
                continue
            try:
                mallory.tell(kind, body, to)
                said += 1
            except (FrameTooLong, LocalError):
                continue
            world.run(2 * MS)
    world.run(5 * SECOND)
    assert said >= 8
    for host in honest(world):
        assert held(node(host)) < MOST_HELD
        assert content(host, b"keep/me") == PRECIOUS
        assert {p.name for p in node(host).ctx.online()} >= {h.name for h in honest(world) if h is not host}
    assert work_goes_on(world, b"after")
    assert set(world.hosts[0].disk.tree()) == {b"", b"keep", b"keep/me", b"after"}


@pytest.mark.slow
def test_no_field_of_an_entry_beyond_its_bounds_harms_anybody() -> None:
    world, mallory = attacked()
    sample = node(world.hosts[0]).trees["www"].tree.entries()[-1]
    assert sample.path == b"keep/me"
    for number, raw in enumerate(extreme_entries(pack_entry(sample)), 1):
        mallory.lock(number, b"keep/me")
        mallory.offer(number, raw=(raw,))
        mallory.unlock(number)
        world.run(4 * MS)
    world.run(20 * SECOND)
    for host in honest(world):
        assert held(node(host)) < MOST_HELD
    assert work_goes_on(world, b"after")
    world.write(world.hosts[0], b"keep/me", b"still writable")
    assert world.run(30 * SECOND, lambda: content(world.hosts[1], b"keep/me") == b"still writable")
