"""The brake on mass deletion, with real agents: an emptied tree, an unmounted disk, and a user's decision."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .cluster import Agent, Cluster, wait

pytestmark = [pytest.mark.root, pytest.mark.slow]
Make = Callable[[int], Cluster]
FILES = 60


def filled(cluster: Make) -> Cluster:
    """Three agents in sync, with some files in two directories."""
    made = cluster(3)
    for i in range(FILES):
        file = made.agents[0].tree / "ab"[i % 2] / f"f{i}"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"content {i}\n" * i)
    made.start()
    made.flush()
    return made


def count(agent: Agent) -> int:
    return sum(len(files) for place, _, files in os.walk(agent.tree) if ".l2sync" not in place)


def held(agent: Agent) -> str:
    """What the tree is held for on this agent; empty when it is not."""
    told = agent.status()
    tree = told["trees"][0] if told is not None else {"state": "", "paused_reason": ""}
    return tree["paused_reason"] if tree["state"] == "held" else ""


def all_held(made: Cluster) -> bool:
    return all(held(agent) for agent in made.agents)


def empty(place: Path) -> None:
    subprocess.run(["rm", "-rf", *[place / name for name in os.listdir(place) if name != ".l2sync"]], check=True)


def test_an_emptied_tree_is_held_until_it_is_restored_or_approved(cluster: Make) -> None:
    made = filled(cluster)
    a, b, c = made.agents
    empty(a.tree)
    assert wait(lambda: all_held(made), 120)
    assert count(b) == count(c) == FILES
    assert "entries have vanished" in held(c) and "web0" in held(c) and "l2sync restore www" in held(c)
    assert "NOT IN SYNC" in c.ask("status").stdout
    assert "tree_held" in (c.place / "log").read_text()
    (a.tree / "meanwhile").write_text("new")
    done = c.ask("restore", "www")
    assert done.returncode == 0 and "web0" in done.stdout, done.stderr
    assert wait(lambda: count(a) == FILES + 1, 120)
    made.flush()
    made.judge()
    assert count(b) == FILES + 1
    assert a.ask("approve", "www").returncode == 1
    empty(a.tree)
    assert wait(lambda: all_held(made), 120)
    assert b.ask("approve", str(b.tree)).returncode == 0
    assert wait(lambda: count(b) == count(c) == 0, 120)
    made.flush()
    made.judge()


def test_a_copied_host_keeps_out_and_both_are_named(cluster: Make) -> None:
    made = cluster(3)
    a, b, c = made.agents
    (a.tree / "f").write_text("content")
    a.start()
    c.start()
    made.settle(120)
    assert a.end() == 0
    shutil.copytree(a.place / "state", b.place / "state")
    shutil.copytree(a.tree, b.tree, dirs_exist_ok=True)
    a.start()
    made.settle(120)
    (b.tree / "only on the copy").write_text("x")
    b.start()

    def names_both() -> bool:
        told = [(agent.status() or {"trees": [{}]})["trees"][0].get("paused_reason") or "" for agent in (a, b)]
        return any("web0" in text and "web1" in text and "state directory" in text for text in told)

    assert wait(names_both, 120)
    assert not (c.tree / "only on the copy").exists()
    assert b.end() == 0
    shutil.rmtree(b.place / "state")
    b.start()
    assert wait(lambda: "only on the copy" in held(b), 120)
    assert b.ask("approve", "www").returncode == 0
    assert wait(lambda: (c.tree / "only on the copy").exists(), 120)
    made.flush()
    made.judge()


def test_an_unmounted_disk_is_held_and_ends_by_itself_or_is_filled_again(cluster: Make) -> None:
    made = cluster(3)
    a, b, _ = made.agents
    disk = b.place / "disk"
    disk.mkdir()
    mount = ["mount", "--bind", str(disk), str(b.tree)]
    unmount = ["umount", "-l", str(b.tree)]

    def everywhere(command: list[str]) -> None:
        """Here, and in the mount namespace that the agent was given with its network."""
        subprocess.run(command, check=True)
        if b.process is not None:
            subprocess.run(["nsenter", "-t", str(b.process.pid), "-m", *command], check=True)

    everywhere(mount)
    try:
        for i in range(FILES):
            (a.tree / f"f{i}").write_text(f"content {i}\n")
        made.start()
        made.flush()
        everywhere(unmount)
        assert wait(lambda: all_held(made), 120)
        assert "is its disk mounted?" in held(a)
        everywhere(mount)
        made.settle(120)
        everywhere(unmount)
        assert wait(lambda: all_held(made), 120)
        done = a.ask("restore", "www")
        assert done.returncode == 0 and "web1" in done.stdout, done.stderr
        assert wait(lambda: count(b) == FILES, 120)
        made.flush()
        made.judge()
        assert sum(path.is_file() for path in disk.iterdir()) == FILES
    finally:
        if b.process is not None:
            b.end()
        subprocess.run(unmount, check=False, capture_output=True)
