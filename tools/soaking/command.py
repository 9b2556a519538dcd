"""The command line of tools/soak."""

from __future__ import annotations

import argparse
import contextlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from l2sync.cli.lab import LabError
from soaking.field import field
from soaking.rounds import Finding, Round
from tests.integration.cluster import Cluster

_OPTIONS = "max_delete_percent = 100\n"
"""The users here delete at random: the brake would stop them all."""
_MOST_ROUNDS = 8
"""Rounds on one cluster, before a new one with empty trees and another number of nodes begins."""


def main(arguments: Sequence[str] | None = None) -> int:
    """0: nothing found; 1: something was; 2: it cannot run here."""
    chosen = _parser().parse_args(arguments)
    lacking = [tool for tool in ("stress-ng", "nft", "rsync", "mkfs.xfs", "mkfs.btrfs") if shutil.which(tool) is None]
    if lacking:
        print(f"tools/soak: not installed: {', '.join(lacking)}", file=sys.stderr)
        return 2
    try:
        return _soak(chosen)
    except LabError as error:
        print(f"tools/soak: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("tools/soak: interrupted; everything is removed", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tools/soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="how long, in all")
    parser.add_argument("--seed", type=int, default=None, help="repeat a soak, as far as real machines repeat anything")
    parser.add_argument("--nodes", type=int, choices=range(2, 9), default=None, help="2 to 8; else 3 to 5 by the seed")
    parser.add_argument("--round", type=float, default=40, help="seconds of disorder in each round")
    parser.add_argument("--patience", type=float, default=180, help="seconds within which all must be in sync again")
    parser.add_argument("--pause", type=float, default=0.03, help="seconds between two operations of a node's user")
    parser.add_argument("--keep", type=Path, default=None, help="where to put what a failing round leaves")
    parser.add_argument("--stop", action="store_true", help="end at the first round that fails")
    return parser


def _soak(chosen: argparse.Namespace) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    seed = chosen.seed if chosen.seed is not None else random.SystemRandom().randrange(1 << 31)
    keep = chosen.keep or Path(tempfile.mkdtemp(prefix=f"l2sync-soak-{seed}-"))
    print(f"seed {seed}; what fails is kept in {keep}", flush=True)
    end = time.monotonic() + 60 * chosen.minutes
    number = failed = operations = 0
    began = time.monotonic()
    while time.monotonic() < end and not (failed and chosen.stop):
        with _cluster(random.Random(f"{seed}-{number}"), chosen.nodes) as cluster:
            for _ in range(_MOST_ROUNDS):
                if time.monotonic() >= end:
                    break
                found = Round(cluster, f"{seed}-{number}", chosen.round, chosen.patience, chosen.pause).run()
                number += 1
                operations += found.operations
                _tell(number, found, cluster)
                if found.faults:
                    failed += 1
                    _keep(keep / f"round{number}", found, cluster)
                    break
    print(f"{(time.monotonic() - began) / 60:.1f} minutes, {number} rounds, {operations} operations, {failed} failed")
    with contextlib.suppress(OSError):
        keep.rmdir()
    return 1 if failed else 0


@contextlib.contextmanager
def _cluster(rng: random.Random, nodes: int | None) -> Iterator[Cluster]:
    count = nodes or rng.choice([3, 3, 4, 5])
    with field(count) as (place, trees), Cluster(count, place, trees, _OPTIONS) as cluster:
        cluster.start()
        yield cluster


def _tell(number: int, found: Finding, cluster: Cluster) -> None:
    verdict = "FAILED" if found.faults else "ok"
    nodes = len(cluster.agents)
    told = f"{nodes} nodes, {found.operations} operations, {len(found.events)} misfortunes"
    told += f", {found.quiet_s:.1f} s to quiet"
    print(f"{time.strftime('%H:%M:%S')} round {number} (seed {found.seed}): {verdict}; {told}", flush=True)
    for fault in found.faults:
        print(f"    {fault}", flush=True)


def _keep(place: Path, found: Finding, cluster: Cluster) -> None:
    """Logs, histories, indexes and trees, as they are; the agents first say what they know."""
    place.mkdir(parents=True, exist_ok=True)
    (place / "faults").write_text("\n".join([found.seed, *found.events, "", *found.faults]) + "\n")
    for agent in cluster.agents:
        if agent.process is not None and (spy := shutil.which("py-spy", path=Path(sys.executable).parent)):
            with open(place / f"stack{agent.number}", "wb") as file:
                subprocess.run([spy, "dump", "--pid", str(agent.process.pid)], stdout=file, stderr=file, check=False)
        with contextlib.suppress(subprocess.TimeoutExpired):
            (place / f"status{agent.number}").write_text(agent.ask("status", "--json").stdout)
        with open(place / f"tree{agent.number}.tar", "wb") as file:
            subprocess.run(["tar", "-C", agent.tree, "--xattrs", "-cf", "-", "."], stdout=file, check=False)
        with contextlib.suppress(shutil.Error):
            shutil.copytree(agent.place, place / f"host{agent.number}", ignore=shutil.ignore_patterns("tree", "sock"))
