"""A flood of junk on the segment: work goes on, nobody is lost, and memory stays bounded. See tools/flood for rates."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .cluster import Agent, Cluster, wait

pytestmark = [pytest.mark.root, pytest.mark.slow]
Make = Callable[[int], Cluster]
MOST_MIB = 64
"""More memory than this beyond what an agent held before is a leak: its reading socket's buffer is the kernel's."""


def memory(agent: Agent) -> float:
    """MiB that an agent holds."""
    assert agent.process is not None
    return int(Path(f"/proc/{agent.process.pid}/status").read_text().split("VmRSS:")[1].split()[0]) / 1024


def test_work_goes_on_under_a_flood_of_junk_from_spoofed_addresses(cluster: Make) -> None:
    made = cluster(4)
    made.lab.shape(20)
    stranger = made.agents.pop()
    made.start()
    made.settle()
    command = [sys.executable, "-m", "tests.integration.flood", "eth0", "mixed", "10", "1400"]
    flood = stranger.host.popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    first = made.agents[0]
    aside = first.place / "aside"
    aside.write_bytes(os.urandom(1 << 20))
    aside.rename(first.tree / "before")
    made.settle()
    before = [memory(agent) for agent in made.agents]
    assert flood.stdin is not None and flood.stdout is not None and flood.stdout.readline().startswith("heard")
    flood.stdin.write("\n")
    flood.stdin.flush()
    aside.write_bytes(os.urandom(3 << 20))
    aside.rename(first.tree / "under")
    for number, agent in enumerate(made.agents):
        (agent.tree / f"small{number}").write_text("written under the flood")
    assert wait(lambda: all(arrived(agent, len(made.agents)) for agent in made.agents), 120)
    assert flood.poll() is None
    counted = [told["counters"] for told in (agent.status() for agent in made.agents) if told is not None]
    assert all(counters["bad_forged"] > 100 for counters in counted)
    # What the first said itself it knows as its own.
    assert all(counters["replayed"] > 100 for counters in counted[1:])
    for agent, held in zip(made.agents, before, strict=True):
        assert memory(agent) < held + MOST_MIB
        told = agent.status()
        assert told is not None and not any(peer["misbehaving"] for peer in told["peers"])
        assert {peer["name"] for peer in told["peers"]} == {f"web{a.number}" for a in made.agents if a is not agent}
    flood.kill()
    flood.wait(20)
    made.flush()
    made.judge()


def arrived(agent: Agent, hosts: int) -> bool:
    """Whether all that was written under the flood is here."""
    return all((agent.tree / name).exists() for name in ["under", *(f"small{n}" for n in range(hosts))])
