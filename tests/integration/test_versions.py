"""Kept versions with two real agents: kept where asked for, listed, and brought back as a change of one's own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .cluster import Agent, Cluster, wait

pytestmark = [pytest.mark.root, pytest.mark.slow]
MORE = 'keep_versions_days = 30\nkeep_versions_size = "1M"\n'


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(2, tmp_path, more=MORE) as made:
        (made.agents[0].tree / "d").mkdir()
        (made.agents[0].tree / "d" / "f").write_text("first")
        made.start()
        made.flush()
        yield made


def listed(agent: Agent, *path: str) -> list[dict[str, object]]:
    """What `versions --json` says."""
    done = agent.ask("versions", *path, "--json")
    assert done.returncode == 0, done.stderr
    found: list[dict[str, object]] = json.loads(done.stdout)
    return found


def change(agent: Agent, text: str) -> None:
    (agent.tree / "d" / "f").write_text(text)
    deliver(agent)


def deliver(agent: Agent) -> None:
    """Wait until the other one has all that is on disk here."""
    done = agent.ask("flush", "--timeout", "60", timeout=90)
    assert done.returncode == 0, done.stderr


def test_what_another_node_replaced_or_deleted_comes_back_everywhere(pair: Cluster) -> None:
    a, b = pair.agents
    change(a, "second")
    change(a, "third")
    assert listed(a) == [], "one's own changes are one's own"
    first, second = listed(b, "www:d/f")
    assert (first["path"], first["size"], first["kind"]) == ("d/f", 5, "file")
    subprocess.run(["rm", "-r", a.tree / "d"], check=True)
    deliver(a)
    assert not (b.tree / "d").exists()
    assert [one["size"] for one in listed(b, str(b.tree / "d"))] == [5, 6, 5]
    done = b.ask("restore", str(b.tree / "d"))
    assert done.returncode == 0 and "restored www:d/f" in done.stdout, done.stderr
    deliver(b)
    assert (a.tree / "d" / "f").read_text() == (b.tree / "d" / "f").read_text() == "third"
    done = b.ask("restore", "www:d/f", "--version", str(second["id"]))
    assert done.returncode == 0, done.stderr
    pair.flush()
    assert (a.tree / "d" / "f").read_text() == "second"
    assert [one["size"] for one in listed(a)] == [5], "what the restored one replaced elsewhere is kept there"
    pair.judge()


def test_kept_versions_are_nobody_elses_and_bounded(pair: Cluster) -> None:
    a, b = pair.agents
    for number in range(5):
        change(a, str(number) * 300_000)
    assert wait(lambda: len(listed(b)) == 3, 60)
    assert not (a.tree / ".l2sync" / "versions").exists()
    planted = a.tree / ".l2sync" / "versions" / "d" / "f" / str(listed(b)[0]["id"])
    planted.parent.mkdir(parents=True)
    planted.write_text("planted")
    assert a.ask("rescan").returncode == 0
    pair.flush()
    assert [one["size"] for one in listed(b)] == [300_000] * 3
    pair.judge()


def test_they_outlive_a_killed_agent_and_one_is_told_what_there_is_not(pair: Cluster) -> None:
    a, b = pair.agents
    change(a, "second")
    b.end(signal.SIGKILL)
    b.start()
    pair.flush()
    assert [one["size"] for one in listed(b)] == [5]
    table = b.ask("versions").stdout
    assert "www:d/f" in table and "5 B" in table
    for words, text in [
        (("restore", "www:nothing"), "no version of it is kept"),
        (("restore", "www:d/f", "--version", "x"), "no version x of d/f"),
        (("restore", "www"), "nothing of www is held back"),
    ]:
        done = b.ask(*words)
        assert done.returncode == 1 and text in done.stderr, done
    assert os.listdir(b.tree / ".l2sync" / "staging") == []
