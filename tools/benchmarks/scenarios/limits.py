"""One big file beside something else: the bare loop that is the limit here, and a stranger's TCP stream."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import bareloop, stream
from benchmarks.measure import Result, Sizes
from benchmarks.peers import Peer, Unable
from benchmarks.peers.base import wait_for_port
from benchmarks.scenarios.base import Scenario
from benchmarks.scenarios.copies import copy_big, space_of_big
from benchmarks.stage import Bench, Stage

_ALONE = 3.0
"""Seconds in which the stream shows what it has by itself."""
_STREAM = 500.0
_LINK = 1000.0
_PORT = 5201


def _bare(bench: Bench, kind: type[Peer]) -> Iterator[Result]:
    limits: list[float] = []

    def loop(peer: Peer) -> None:
        limits.append(bare_rate(peer, bench.mtu, bench.sizes.big))

    conditions = bench.conditions(receivers=1)
    unshaped = type(conditions)(conditions.receivers, 0.0, conditions.mtu, conditions.loss)
    with bench.stage(kind, unshaped, before=loop) as stage:
        result = stage.result("bare")
        copy_big(stage, result)
    rate = result.payload / result.seconds
    result.figures |= {"mb_s": rate / 1e6, "bare_mb_s": limits[0] / 1e6, "of_bare": rate / limits[0]}
    yield result


def bare_rate(peer: Peer, mtu: int, size: int) -> float:
    """Bytes a second of sealed frames' bodies that a bare loop brings to every receiver."""
    script = [sys.executable, bareloop.__file__]
    processes = []
    for host, _ in peer.receivers:
        ready = peer.home(host) / "bare.ready"
        process = host.popen([*script, "receive", str(ready), str(mtu)], stdout=subprocess.PIPE, text=True)
        processes.append((process, ready))
    _await_files([ready for _, ready in processes])
    peer.hosts[0].run([*script, "send", str(mtu), str(size)], check=True)
    answers = [json.loads(process.communicate(timeout=60.0)[0]) for process, _ in processes]
    return min(float(answer["bytes"]) / max(float(answer["seconds"]), 1e-9) for answer in answers)


def _fair(bench: Bench, kind: type[Peer]) -> Iterator[Result]:
    conditions = bench.conditions(receivers=1, rate=_LINK)
    with bench.stage(kind, conditions) as stage:
        third = stage.lab.add_host()
        seen = stage.peer.folder / "stream"
        receiver = stage.peer.hosts[1]
        script = [sys.executable, stream.__file__]
        processes = [receiver.popen([*script, "sink", str(seen), str(_PORT)])]
        wait_for_port(receiver, _PORT, time.monotonic() + 10.0)
        share = _STREAM * conditions.rate / _LINK
        processes.append(third.popen([*script, "source", str(receiver.address), str(_PORT), str(share)]))
        try:
            yield _beside(stage, seen)
        finally:
            _end(processes)


def _beside(stage: Stage, seen: Path) -> Result:
    result = stage.result("fair")
    _await_files([seen])
    time.sleep(1.0)  # past its slow start
    begin = time.monotonic()
    time.sleep(_ALONE)
    alone = stream.rate_between(str(seen), begin, time.monotonic())
    if not alone:
        raise Unable("the TCP stream did not flow")
    copy_big(stage, result)
    during = stream.rate_between(str(seen), result.began, result.began + result.seconds)
    result.figures |= {"tcp_alone_mbit": alone, "tcp_during_mbit": during, "tcp_kept": during / alone}
    return result


def _end(processes: list[subprocess.Popen[Any]]) -> None:
    for process in processes:
        process.terminate()
        process.wait()


def _await_files(paths: list[Path]) -> None:
    deadline = time.monotonic() + 10.0
    while not all(path.exists() for path in paths):
        if time.monotonic() > deadline:
            raise Unable(f"{paths[0].name} did not appear")
        time.sleep(0.02)


def _space(sizes: Sizes, receivers: int) -> int:
    return space_of_big(sizes, 1)


BARE = Scenario("bare", "the big file to one receiver, not shaped, beside a bare loop of frames", _space, play=_bare)
FAIR = Scenario("fair", "the big file beside a stranger's TCP stream of half of a shared gigabit", _space, play=_fair)
