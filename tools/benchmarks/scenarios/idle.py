"""What running agents use: idle with ten thousand entries, and with a million, restarted and differing."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Result, Sizes
from benchmarks.meters import Metered
from benchmarks.peers import L2sync, Peer
from benchmarks.scenarios.base import Scenario
from benchmarks.scenarios.copies import need_tree, space_of_tree
from benchmarks.stage import Bench, Stage
from benchmarks.trees import make_entries, marks, wait_for

_SETTLING = 5.0
_DIFFERENCES = 100
_ENTRIES_A_SECOND = 1000
"""The slowest start that is waited for."""


def _idle(stage: Stage) -> Iterator[Result]:
    need_tree(stage)
    result = stage.result("idle")
    _rest(stage, result)
    yield result


def _rest(stage: Stage, result: Result) -> None:
    """What the running processes use while nothing happens."""
    time.sleep(_SETTLING)  # what still settles from before
    agents = [one for one in stage.peer.metered if one.poll() is None]
    wire, before, begin = stage.traffic(), [agent.cpu() for agent in agents], time.monotonic()
    time.sleep(stage.sizes.idle_seconds)
    seconds = time.monotonic() - begin
    shares = [(agent.cpu() - then) / seconds for agent, then in zip(agents, before, strict=True)]
    result.seconds = seconds
    result.sender_bytes, result.segment_bytes = stage.sent_since(wire)
    result.cpu, result.peak = sum(shares) * seconds, max(agent.peak() for agent in agents)
    result.figures |= {
        "cpu_percent_worst": max(shares) * 100,
        "cpu_percent_mean": statistics.mean(shares) * 100,
        "memory_mb_worst": max(agent.memory() for agent in agents) / 1e6,
        "bytes_a_second": result.segment_bytes / seconds,
    }


def _million(bench: Bench, kind: type[Peer]) -> Iterator[Result]:
    assert issubclass(kind, L2sync)
    entries = bench.sizes.entries
    patience = 120.0 + entries / _ENTRIES_A_SECOND

    def fill(peer: Peer) -> None:
        make_entries(peer.source, entries)
        subprocess.run(["cp", "-a", f"{peer.source}/.", peer.trees[1]], check=True)

    begin = time.monotonic()
    with bench.stage(kind, bench.conditions(receivers=1, rate=0.0), before=fill, patience=patience) as stage:
        peer = stage.peer
        assert isinstance(peer, L2sync)
        first = stage.result("million", "idle")
        _rest(stage, first)
        first.figures["filled_and_joined_s"] = time.monotonic() - begin
        yield first
        yield _restart(stage, peer, patience)
        yield _differ(stage, peer, patience)


def _restart(stage: Stage, peer: L2sync, patience: float) -> Result:
    """One agent ends and starts again, with nothing changed."""
    result, host = stage.result("million", "restart"), peer.hosts[1]
    peer.stop_agent(host)
    wire, begin = stage.traffic(), time.monotonic()
    peer.start_agent(host)
    peer.await_in_sync(begin + patience)
    result.seconds = time.monotonic() - begin
    _bill_agent(stage, result, peer.agents[host.number], wire)
    result.figures["restart_s"] = result.seconds
    return result


def _differ(stage: Stage, peer: L2sync, patience: float) -> Result:
    """A hundred files change while one agent is away; what crosses the wire from its start until both are equal."""
    result, host = stage.result("million", "differences"), peer.hosts[1]
    peer.stop_agent(host)
    folders = sorted(peer.source.glob("part*/folder*"))
    step = max(1, len(folders) // _DIFFERENCES)
    chosen = [folder / "file00" for folder in folders[::step]][:_DIFFERENCES]
    for path in chosen:
        path.write_bytes(path.read_bytes()[::-1])
    peer.flush(patience)
    changed = [str(path.relative_to(peer.source)) for path in chosen]
    wire, begin = stage.traffic(), time.monotonic()
    peer.start_agent(host)
    wait_for(marks(peer.source, changed), [peer.trees[1]], begin + patience, pause=0.2)
    peer.await_in_sync(begin + patience)
    result.seconds = time.monotonic() - begin
    _bill_agent(stage, result, peer.agents[host.number], wire)
    result.figures |= {"differences": len(chosen), "exchanged_kb": result.segment_bytes / 1e3}
    _judge_by_size(result, peer.source, peer.trees[1])
    return result


def _bill_agent(stage: Stage, result: Result, agent: Metered, wire: list[int]) -> None:
    result.sender_bytes, result.segment_bytes = stage.sent_since(wire)
    result.cpu, result.peak = agent.cpu(), agent.peak()
    result.figures |= {"memory_mb": agent.memory() / 1e6, "peak_mb": agent.peak() / 1e6}


def _judge_by_size(result: Result, one: Path, other: Path) -> None:
    """By contents; rsync would hold two million entries in its memory at once, diff does not."""
    command = ["diff", "-rq", "--no-dereference", "--exclude=.l2sync", one, other]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    result.differences += done.stdout.splitlines() + done.stderr.splitlines()


def _space(sizes: Sizes, receivers: int) -> int:
    return sizes.entries * 2 * (4096 + 1536)  # a page and an inode for each


IDLE = Scenario("idle", "nothing happens, with 10,000 entries", space_of_tree, "tree", _idle)
MILLION = Scenario("million", "two agents with 1,000,000 entries: idle, restarted, differing", _space, play=_million)
