"""Where model and code could part ways: given a run of the model, the code walks it, and is where the model is."""

from __future__ import annotations

from pathlib import Path

import pytest

from l2sync.cluster import PeerState

from . import joiner
from .spin import walk
from .walker import NODES, Walker

NONE = 255
WORLDS = {
    "level": "",
    "lossy": "-DCLAIMERS=7 -DDROPS=1 -DLOSE",
    "apart": "-DCLAIMERS=7 -DAPART=1 -DLOSE",
    "crash": "-DCLAIMERS=7 -DCRASHES=1 -DLOSE",
    "again": "-DCLAIMS=2 -DCLAIMERS=3 -DDROPS=1",
}


def compare_nodes(walker: Walker, told: list[int]) -> None:
    """``told``: of each node the state, then of each the clock, the stamp and the place in the stream."""
    for i in NODES:
        node = walker.nodes[i]
        if node is None:
            continue
        claim = node.locks.get(node.session, walker.claims[i])
        state = 0 if claim is None else 2 if claim.granted else 1
        place = node.hub.broadcast_next - walker.base[i]
        stamp = claim.lamport if claim is not None else 0
        assert [state, node.lamport, stamp, place] == told[i::3], f"node {i}"


def compare_pair(walker: Walker, i: int, j: int, told: list[int]) -> None:
    """``told``: whether j is online for i, how far its stream is taken, its claim, unused, whether it is in doubt."""
    if walker.nodes[i] is None:
        return
    peer = walker.peer(i, j) if walker.nodes[j] is not None else None
    assert (peer is not None and peer.state is PeerState.ONLINE) == told[0], f"{j} for {i}"
    if peer is None or not told[0]:
        return
    assert peer.broadcast_in is not None
    known = [claim.lamport for claim in walker.at(i).locks if claim.session == peer.session]
    doubt = walker.at(i).membership.doubts(peer)
    place = peer.broadcast_in.expected - walker.base[j]
    assert [place, known, doubt] == [told[1], [] if told[2] == NONE else [told[2]], told[4]], f"{j} for {i}"


def follow(lines: list[str], apart: bool) -> int:
    """Walk a printed run; how many moves it had."""
    walker, moves = Walker(apart), []
    for line in lines:
        word, *rest = line.split() or [""]
        try:
            if word == "MOVE":
                moves.append(line[5:])
                numbers = [int(number) for number in rest if number.isdigit()]
                if rest[0] == "lose":
                    walker.lose(rest[1], *numbers)
                else:
                    walker.move(rest[0], *numbers)
            elif word == "NODES":
                compare_nodes(walker, [int(n) for n in rest])
            elif word == "PAIR":
                i, j, *told = (int(n) for n in rest)
                compare_pair(walker, i, j, told)
        except AssertionError as error:
            raise AssertionError(f"{error}\nmodel: {line}\nafter: {'; '.join(moves)}") from error
    return len(moves)


def seeds(config: pytest.Config) -> range:
    """A few, and as many as ``--walks`` says."""
    return range(1, 1 + (config.getoption("--walks") or 10))


@pytest.mark.slow
@pytest.mark.parametrize("world", WORLDS)
def test_the_code_is_where_the_model_is_after_every_move(
    world: str, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    moves = 0
    for seed in seeds(pytestconfig):
        lines = walk("locks.pml", f"-DTRACE {WORLDS[world]}", seed, tmp_path)
        moves += follow(lines, "APART" in WORLDS[world])
    assert moves > 8 * len(seeds(pytestconfig))


JOINS = {
    "at once": "",
    "lossy": "-DAGEING=3 -DAGER=1 -DLOSE",
    "crash": "-DCRASHES=1 -DAGEING=0 -DLOSE",
    "crash twice": "-DCRASHES=2 -DAGEING=2",
}


@pytest.mark.slow
@pytest.mark.parametrize("world", JOINS)
def test_nodes_that_join_have_the_ids_that_the_model_has_after_every_move(
    world: str, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    moves = 0
    for seed in seeds(pytestconfig):
        moves += joiner.follow(walk("join.pml", f"-DTRACE {JOINS[world]}", seed, tmp_path))
    assert moves > 8 * len(seeds(pytestconfig))
