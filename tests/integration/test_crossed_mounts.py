"""File systems mounted within a tree that says `cross_mounts = true`, under running agents."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .cluster import Agent, Cluster, wait
from .mounts import mounted

pytestmark = [pytest.mark.root, pytest.mark.slow]


@pytest.fixture
def crossed(tmp_path: Path) -> Iterator[tuple[Agent, Agent, Path, Cluster]]:
    """Two agents, of which the first has an ext4 at disk within its tree; and where else that is mounted."""
    (tmp_path / "hosts").mkdir()
    with (
        mounted("ext4", tmp_path / "aside", tmp_path / "image", 40) as aside,
        Cluster(2, tmp_path / "hosts", more="cross_mounts = true\n") as cluster,
    ):
        one, other = cluster.agents
        cluster.start()
        cluster.settle()
        (one.tree / "disk").mkdir()
        inside(one, "mount", "--bind", aside, one.tree / "disk")
        yield one, other, aside, cluster


def inside(agent: Agent, *words: str | Path) -> None:
    """Run a command among the mounts that the agent sees."""
    assert agent.process is not None
    subprocess.run(["nsenter", "-t", str(agent.process.pid), "-m", *words], check=True)


def told(agent: Agent) -> str:
    """All that its status says; in JSON, as the table for people breaks lines."""
    return json.dumps(agent.status())


def test_a_mounted_file_system_is_in_sync_and_what_goes_with_it_is_not_deleted(
    crossed: tuple[Agent, Agent, Path, Cluster],
) -> None:
    one, other, aside, cluster = crossed
    (other.tree / "before").write_text("x")
    assert wait(lambda: (aside / ".l2sync/id").exists(), 60), "it is noticed and marked"
    (aside / "here").write_bytes(os.urandom(300_000))
    assert wait(lambda: (other.tree / "disk/here").exists(), 60)
    (other.tree / "disk/there").write_bytes(os.urandom(300_000))
    (other.tree / "before").rename(other.tree / "disk/moved")
    assert wait(lambda: (aside / "there").exists() and (aside / "moved").exists(), 60)
    cluster.flush()
    assert (aside / "there").read_bytes() == (other.tree / "disk/there").read_bytes()
    assert not (other.tree / "disk/.l2sync").exists()

    inside(one, "umount", one.tree / "disk")
    assert wait(lambda: "was mounted here" in told(one), 60)
    (other.tree / "disk/meanwhile").write_text("made while it was away")
    (one.tree / "beside").write_text("all else goes on")
    assert wait(lambda: (other.tree / "beside").exists(), 60)
    assert os.listdir(one.tree / "disk") == []
    assert (other.tree / "disk/there").exists() and (other.tree / "disk/here").exists()
    one.end()  # its mounts are gone with it

    one.start()
    assert wait(lambda: "was mounted here" in told(one), 60), "a restart makes no difference"
    inside(one, "mount", "--bind", aside, one.tree / "disk")
    assert wait(lambda: (aside / "meanwhile").exists(), 60)
    cluster.flush()
    assert (other.tree / "disk/there").exists() and (other.tree / "disk/here").exists()

    inside(one, "umount", one.tree / "disk")
    assert wait(lambda: "was mounted here" in told(one), 60)
    said = one.ask("approve", "www:disk")
    assert said.returncode == 0 and "does not come back" in said.stdout, said.stderr
    assert wait(lambda: not (other.tree / "disk/there").exists(), 60)
    assert one.ask("approve", "www:disk").returncode == 1
    cluster.flush()
