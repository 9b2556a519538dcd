"""The session transcript, step by step, as two nodes play it (docs/protocol.md tells what each frame says)."""

from __future__ import annotations

from l2sync.frames import NOID, STREAMED, Header, Keyring, Kind, parse_header, parse_message, parse_prefix
from tests.simulation.world import KEY, SECOND, Host, World


class Wire:
    """Every frame sent, as (name of the sender, header, body)."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.seen: list[tuple[str, Header, bytes]] = []
        self._ports = {host.port: host.name for host in world.hosts}
        self._keyring = Keyring("sim", {1: KEY}, 1)
        self._last: dict[tuple[int, int], None] = {}
        world.segment.drop_when = self._watch

    def _watch(self, source: int, receiver: int, payload: bytes) -> bool:
        header = parse_header(payload)
        if (header.session, header.serial) not in self._last:
            self._last[header.session, header.serial] = None
            self.seen.append((self._ports[source], header, self._keyring.open(header, payload)))
        return False

    def of(self, name: str, *kinds: Kind) -> list[tuple[Header, bytes]]:
        return [(h, b) for who, h, b in self.seen if who == name and (not kinds or h.kind in kinds)]


def alone_then_two() -> tuple[World, Host, Host, Wire]:
    world = World(2, seed=5)
    a, b = world.hosts
    a.disk.write(b"from-a", b"a", 1)
    b.disk.write(b"from-b", b"b", 2)
    wire = Wire(world)
    world.start(a)
    world.run(2 * SECOND)
    world.start(b)
    world.run(10 * SECOND, lambda: world.in_sync() and world.same())
    return world, a, b, wire


def test_a_appears_and_takes_the_first_id() -> None:
    _, _, _, wire = alone_then_two()
    hello, body = wire.of("web0", Kind.HELLO)[0]
    assert (hello.serial, hello.src, hello.dst) == (0, NOID, NOID)
    assert parse_message(Kind.HELLO, body).name == "web0"  # type: ignore[union-attr]
    register, body = wire.of("web0", Kind.REGISTER)[0]
    assert (register.src, register.dst) == (0, NOID)
    assert parse_message(Kind.REGISTER, body).name == "web0"  # type: ignore[union-attr]


def test_b_appears_is_welcomed_registers_and_is_answered() -> None:
    _, _, _, wire = alone_then_two()
    hello, _ = wire.of("web1", Kind.HELLO)[0]
    assert (hello.serial, hello.src, hello.dst) == (0, NOID, NOID)
    welcome, body = wire.of("web0", Kind.WELCOME)[0]
    assert (welcome.src, welcome.dst) == (0, NOID)
    told = parse_message(Kind.WELCOME, body)
    assert told.name == "web0" and [n.name for n in told.newcomers] == ["web1"]  # type: ignore[union-attr]
    register, _ = wire.of("web1", Kind.REGISTER)[0]
    assert (register.serial, register.src) == (1, 1)
    acks = [parse_message(Kind.ACK, body) for header, body in wire.of("web0", Kind.ACK) if header.dst == 1]
    assert any(low <= 1 <= high for ack in acks for low, high in ack.ranges)  # type: ignore[union-attr]


def test_the_first_sync_goes_both_ways_under_locks_that_are_answered_and_given_back() -> None:
    _world, a, b, wire = alone_then_two()
    assert sorted(p for p in a.disk.tree() if p) == sorted(p for p in b.disk.tree() if p) == [b"from-a", b"from-b"]
    for name in ("web0", "web1"):
        order = [h.kind for h, _ in wire.of(name, Kind.LOCK, Kind.UPDTREE, Kind.UNLOCKALL)]
        lock = order.index(Kind.LOCK)
        assert Kind.UPDTREE in order[lock:] and Kind.UNLOCKALL in order[lock:]
        other = "web1" if name == "web0" else "web0"
        serials = [h.serial for h, _ in wire.of(name, Kind.LOCK, Kind.UNLOCKALL)]
        acked = [r for _, body in wire.of(other, Kind.ACK) for r in parse_message(Kind.ACK, body).ranges]  # type: ignore
        assert all(any(low <= serial <= high for low, high in acked) for serial in serials)


def test_serials_of_a_session_count_up_and_none_comes_twice() -> None:
    _, _, _, wire = alone_then_two()
    for name in ("web0", "web1"):
        serials = [h.serial for h, _ in wire.of(name)]
        assert serials == sorted(set(serials)) and serials[0] == 0


def test_a_later_change_is_locked_told_and_unlocked_once() -> None:
    world, a, b, wire = alone_then_two()
    before = len(wire.seen)
    world.write(a, b"later", b"later")
    world.run(SECOND)
    kinds = [h.kind for who, h, _ in wire.seen[before:] if who == "web0" and h.kind in (Kind.LOCK, Kind.UNLOCKALL)]
    assert kinds == [Kind.LOCK, Kind.UNLOCKALL]
    assert b.disk.tree()[b"later"][1] == b"later"


def test_a_shuts_down_returns_and_is_welcomed_under_its_old_id() -> None:
    world, a, _, wire = alone_then_two()
    assert a.node is not None
    a.node.leave(world.now)
    world._effects(a)
    world.run(SECOND)
    world.kill(a)
    a.registry = {}
    before = len(wire.seen)
    world.start(a)
    world.run(5 * SECOND, world.joined)
    welcomes = [(h, body) for who, h, body in wire.seen[before:] if who == "web1" and h.kind == Kind.WELCOME]
    header, body = welcomes[0]
    told = parse_message(Kind.WELCOME, body)
    assert header.src == 1 and told.newcomers[0].id == 0  # type: ignore[union-attr]
    register, _ = next((h, b) for who, h, b in wire.seen[before:] if who == "web0" and h.kind == Kind.REGISTER)
    assert (register.serial, register.src) == (1, 0)


def test_every_streamed_message_carries_its_place_and_places_do_not_repeat_with_other_words() -> None:
    _, _, _, wire = alone_then_two()
    for name in ("web0", "web1"):
        places: dict[tuple[int, int], bytes] = {}
        for header, body in wire.of(name):
            if header.kind in STREAMED:
                prefix, piece = parse_prefix(body)
                assert places.setdefault((prefix.seq, prefix.flags & 1), piece) == piece
