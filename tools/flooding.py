"""Real agents on a segment of virtual hosts, each port shaped, and one host more that floods it with junk."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.integration.cluster import Agent, Cluster, wait
from tests.integration.flood import WAYS

_PATIENCE = 600


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="tools/flood", description=__doc__)
    parser.add_argument("ways", nargs="*", default=list(WAYS[:-1]), metavar="WAY", help=f"of {', '.join(WAYS)}")
    parser.add_argument("--rate", type=float, default=40, help="Mbit/s of each port (default 40)")
    parser.add_argument("--flood", type=float, help="Mbit/s of junk (default: half of the rate)")
    parser.add_argument("--size", type=int, default=1400, help="bytes of a frame of junk (default 1400)")
    parser.add_argument("--mib", type=int, default=32, help="honest bytes, in MiB (default 32)")
    parser.add_argument("--hosts", type=int, default=3, help="honest hosts (default 3)")
    chosen = parser.parse_args()
    if unknown := set(chosen.ways) - set(WAYS):
        parser.error(f"no such way: {', '.join(unknown)}")
    junk = chosen.rate / 2 if chosen.flood is None else chosen.flood
    print(f"{chosen.hosts} hosts, ports of {chosen.rate:g} Mbit/s, one file of {chosen.mib} MiB until it is on all;")
    print(f"{junk:g} Mbit/s of junk in frames of {chosen.size} bytes")
    print("way        alone Mbit/s  under flood  ratio  left offline  memory MiB before / after")
    for way in chosen.ways:
        _measure(way, junk, chosen)


def _measure(way: str, junk: float, chosen: argparse.Namespace) -> None:
    place = Path(tempfile.mkdtemp(prefix="l2s-flood-", dir="/dev/shm"))
    with Cluster(chosen.hosts + 1, place) as cluster:
        stranger = cluster.agents.pop()
        cluster.lab.shape(chosen.rate)
        cluster.start()
        cluster.settle()
        command = [sys.executable, "-m", "tests.integration.flood", "eth0", way, str(junk), str(chosen.size)]
        flood = stranger.host.popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        alone = _rate(cluster, "alone", chosen.mib)
        before = max(map(_memory, cluster.agents))
        assert flood.stdin is not None and flood.stdout is not None and flood.stdout.readline().startswith("heard")
        flood.stdin.write("\n")
        flood.stdin.flush()
        under = _rate(cluster, "under", chosen.mib)
        after = max(map(_memory, cluster.agents))
        lost = sum((agent.place / "log").read_text().count("peer_offline") for agent in cluster.agents)
        told = f"{alone:12.1f}  {under:11.1f}  {under / alone:5.2f}  {lost:12}  {before:.0f} / {after:.0f}"
        print(f"{way:9}  {told}", flush=True)


def _rate(cluster: Cluster, name: str, mib: int) -> float:
    """Mbit/s at which a new file reaches all hosts; it appears at once, so that it is sent once."""
    first, *others = cluster.agents
    aside = first.place / "aside"
    with open(aside, "wb") as file:
        for _ in range(mib):
            file.write(os.urandom(1 << 20))
    begun = time.monotonic()
    aside.rename(first.tree / name)
    if not wait(lambda: all((agent.tree / name).exists() for agent in others), _PATIENCE):
        sys.exit(f"tools/flood: {name} did not arrive within {_PATIENCE} s")
    return mib * 8 * 1.048576 / (time.monotonic() - begun)


def _memory(agent: Agent) -> float:
    """MiB that an agent holds."""
    assert agent.process is not None
    status = Path(f"/proc/{agent.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


if __name__ == "__main__":
    main()
