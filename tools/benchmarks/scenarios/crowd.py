"""Many simulated nodes, in simulated time: frames and seconds that do not depend on the machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from benchmarks.measure import Conditions, Result, Sizes
from benchmarks.peers import Peer, Unable
from benchmarks.scenarios.base import Scenario
from benchmarks.stage import Bench
from l2sync.modtree import ROOT
from l2sync.node.api import LockRequest

_SECOND = 1_000_000_000
_STEP = _SECOND // 100
_PATIENCE = 60
_REQUEST = 1


def _crowd(bench: Bench, kind: type[Peer]) -> Iterator[Result]:
    try:
        from tests.simulation.world import World
    except ImportError as error:
        raise Unable(f"the simulated world is part of the tests, which are not here: {error}") from error
    nodes = bench.sizes.nodes
    result = Result("crowd", kind.name, conditions=Conditions(receivers=nodes - 1, rate=0.0))
    world, frames = World(nodes, seed=1), Counter[int]()
    transmit = world.segment.transmit

    def counted(port: int, payload: bytes, address: bytes | None, now: int) -> bool:
        frames[port] += 1
        return transmit(port, payload, address, now)

    world.segment.transmit = counted  # type: ignore[method-assign]
    begin = world.now
    world.start()
    _pass(world.run, world.joined, "join")
    joined = world.now
    holder = world.hosts[0]
    assert holder.node is not None
    holder.node.submit(LockRequest(_REQUEST, "www", (ROOT,)), world.now)
    _pass(world.run, lambda: _REQUEST in holder.answers, "lock")
    result.figures = {
        "nodes": nodes,
        "join_s": (joined - begin) / _SECOND,
        "lock_s": (world.now - joined) / _SECOND,
        "simulated_s": (world.now - begin) / _SECOND,
        "frames_mean": sum(frames.values()) / nodes,
        "frames_worst": max(frames.values()),
    }
    yield result


def _pass(run: Callable[[int], object], done: Callable[[], bool], what: str) -> None:
    # Looked at a hundred times a second only: to ask two hundred nodes what each sees takes longer than to run them.
    for _ in range(_PATIENCE * _SECOND // _STEP):
        if done():
            return
        run(_STEP)
    raise Unable(f"the simulated nodes did not {what} within {_PATIENCE} s of their time")


def _space(sizes: Sizes, receivers: int) -> int:
    return 0


CROWD = Scenario("crowd", "200 simulated nodes join at once, then one locks everything", _space, play=_crowd)
