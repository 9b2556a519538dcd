"""How often a node is woken: by frames that are not kept apart, and by its own deadlines. No machine changes these."""

from __future__ import annotations

from collections import Counter

from l2sync.frames import MORE_FOLLOWS, UNHURRIED, Kind

from .world import MS, SECOND, Host, World

FILE = b"\x07" * 100


class Ear:
    """Frames that wake each host, by kind, and how often its node asked for time."""

    def __init__(self, world: World) -> None:
        self.frames: dict[int, Counter[str]] = {host.port: Counter() for host in world.hosts}
        self.timers: Counter[int] = Counter()
        world.segment.drop_when = self.hear
        for host in world.hosts:
            self.attach(host)

    def hear(self, source: int, port: int, payload: bytes) -> bool:
        kind = payload[3]
        self.frames[port][Kind(kind & ~MORE_FOLLOWS).name] += kind not in UNHURRIED
        return False

    def attach(self, host: Host) -> None:
        node = host.node
        assert node is not None
        handle = node.handle_timer

        def timed(now: int) -> None:
            self.timers[host.port] += 1
            handle(now)

        node.handle_timer = timed  # type: ignore[method-assign]


def at_rest(hosts: int) -> World:
    """Hosts that have met, compared their trees, and have nothing left to say."""
    world = World(hosts)
    world.start()
    assert world.run(10 * SECOND, world.in_sync)
    world.run(5 * SECOND)
    return world


def change_and_lose(world: World, origin: Host, kind: Kind, duration: int) -> None:
    """A small file is written, and for so long (ns) all frames of this kind are lost."""
    world.segment.drop_when = lambda source, port, payload: payload[3] == kind
    world.write(origin, b"small", FILE)
    world.run(duration)
    world.segment.drop_when = None


def test_nothing_wakes_a_node_at_rest_but_its_own_ping() -> None:
    world = at_rest(9)
    ear = Ear(world)
    world.run(20 * SECOND)
    for host in world.hosts:
        assert +ear.frames[host.port] == Counter()
        assert 17 <= ear.timers[host.port] <= 23


def test_a_small_change_wakes_a_receiver_twice_until_it_is_in_place() -> None:
    world = at_rest(9)
    ear = Ear(world)
    origin, *receivers = world.hosts
    world.write(origin, b"small", FILE)
    assert world.run(SECOND, world.same)
    for host in receivers:
        assert +ear.frames[host.port] == Counter(DATA=1, UNLOCKALL=1)


def test_all_that_follows_a_small_change_is_an_answer_to_what_the_receiver_said() -> None:
    world = at_rest(9)
    ear = Ear(world)
    origin, *receivers = world.hosts
    world.write(origin, b"small", FILE)
    world.run(900 * MS)
    assert world.same()
    for host in receivers:
        heard = +ear.frames[host.port]
        assert heard.pop("ACK") <= 2
        assert heard == Counter(DATA=1, UNLOCKALL=1)
    answers = +ear.frames[origin.port]
    assert answers["DONE"] == 2 * len(receivers) and set(answers) <= {"DONE", "ACK"}


def test_a_change_is_made_up_for_where_what_follows_is_lost() -> None:
    """The frame that was to wake the receivers is lost: what it was to follow is said again, and wakes them."""
    world = at_rest(3)
    origin, *receivers = world.hosts
    change_and_lose(world, origin, Kind.DATA, 30 * MS)
    ear = Ear(world)
    assert world.run(2 * SECOND, world.same)
    for host in receivers:
        assert ear.frames[host.port]["DATA"]


def asked(host: Host) -> list[str]:
    """What this host's disk is asked for from now on, by name."""
    names: list[str] = []
    handle = host.disk.handle

    def heard(effect: object) -> object:
        names.append(type(effect).__name__)
        return handle(effect)

    host.disk.handle = heard  # type: ignore[method-assign]
    return names


def test_the_disk_stages_and_commits_a_small_batch_in_one_go_once_its_lock_has_ended() -> None:
    world = at_rest(3)
    origin, receiver, _ = world.hosts
    names = asked(receiver)
    change_and_lose(world, origin, Kind.UNLOCKALL, 30 * MS)
    assert names == []
    assert world.run(2 * SECOND, world.same)
    assert names[:3] == ["Prepare", "Store", "Commit"]


def test_a_small_batch_that_does_not_come_complete_is_staged_as_far_as_the_disk_has_it() -> None:
    world = at_rest(3)
    origin, receiver, _ = world.hosts
    names = asked(receiver)
    change_and_lose(world, origin, Kind.DATA, 200 * MS)
    assert names == ["Prepare"]
    assert world.run(5 * SECOND, world.same)
