"""Everything that rsync keeps, and names and sizes at their edges, in one tree on three hosts and two file systems."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from l2sync.disk.beneath import RENAME_EXCHANGE, rename_beneath

from . import edges
from .cluster import JUDGE, Cluster, wait

pytestmark = [pytest.mark.root, pytest.mark.slow]
Make = Callable[[int], Cluster]
DEEP = b"/".join([edges.LEVEL.encode()] * edges.LEVELS)


@pytest.fixture
def mixed(cluster: Make, tmp_path: Path) -> Iterator[Cluster]:
    """Three agents that keep devices as well; the second one's tree is on the disk, the others' are in memory."""
    made = cluster(3)
    place = made.agents[1]
    for agent in made.agents:
        agent.config.write_text(agent.config.read_text() + "devices = true\n")
    subprocess.run(["mount", "--bind", tmp_path, place.tree], check=True)
    try:
        yield made
    finally:
        if place.process is not None:
            place.end()
        subprocess.run(["umount", "-l", place.tree], check=True)


def judge(made: Cluster) -> None:
    """Rsync finds nothing to do; all of the trees, where rsync's paths do not reach too, is told alike."""
    first, *rest = [agent.tree for agent in made.agents]
    told = list(edges.tell(first))
    for other in rest:
        options = [f"--exclude=/{one}" for one in (edges.LEVEL, "big", "kinds/socket")]
        found = subprocess.run([*JUDGE, *options, f"{first}/", f"{other}/"], capture_output=True, check=True)
        assert found.stdout == b"", f"{first} and {other} differ:\n{found.stdout[:2000]!r}"
        assert list(edges.tell(other)) == told


def exchange(one: Path, other: Path) -> None:
    rename_beneath(os.fsencode(one), -1, os.fsencode(other), -1, RENAME_EXCHANGE)


def change_all(a: Path, b: Path, c: Path) -> None:
    """Names change hands, kinds change, each on another host."""
    os.rename(a / "names" / "same", a / "names" / "t")
    os.rename(a / "names" / "Same", a / "names" / "same")
    os.rename(a / "names" / "SAME", a / "names" / "Same")
    os.rename(a / "names" / "t", a / "names" / "SAME")
    exchange(b / "times" / "f0", b / "times" / "d1")
    os.unlink(b / "kinds" / "dangling too")
    os.mkdir(b / "kinds" / "dangling too")
    os.rename(c / "modes" / "d4755", c / "modes" / "d0" / "moved in")
    exchange(c / "owners" / "0", c / "owners" / "1234")
    os.rename(c / "modes" / "readonly", c / "owners" / "readonly")
    os.chmod(a / "modes" / "f0", 0o4000)
    os.unlink(a / "kinds" / "null")
    os.symlink("pipe", a / "kinds" / "null")


def test_all_that_file_systems_hold_arrives_and_changes(mixed: Cluster) -> None:
    a, b, c = (agent.tree for agent in mixed.agents)
    edges.fill(a)
    edges.fill_directory(a / "many")
    edges.fill_big(a / "big")
    deep = edges.fill_deep(a)
    try:
        mixed.start()
        mixed.settle(120)
        judge(mixed)
        change_all(a, b, c)
        edges.write(deep, "file", b"deeper")
        os.rename("link", "renamed", src_dir_fd=deep, dst_dir_fd=deep)
        (c / "many" / "new").write_text("one of very many")
        mixed.flush()
        judge(mixed)
        told = mixed.agents[2].ask("why", "www:" + (DEEP + b"/file").decode())
        assert told.returncode == 0 and told.stdout.count("has it.") == 3, told.stdout + told.stderr
    finally:
        os.close(deep)


def descend(root: Path) -> int:
    """The innermost directory of a deep tree, open."""
    fd = os.open(root, os.O_RDONLY)
    for _ in range(edges.LEVELS):
        above, fd = fd, os.open(edges.LEVEL, os.O_RDONLY, dir_fd=fd)
        os.close(above)
    return fd


def test_a_deep_path_that_waits_is_told_by_status_and_why(mixed: Cluster) -> None:
    a, b, c = mixed.agents
    mixed.start()
    deep = edges.fill_deep(a.tree)
    mixed.flush()
    there = descend(b.tree)
    try:
        edges.write(there, "back", b"the other way")
        mixed.flush()
        judge(mixed)
        subprocess.run(["chattr", "+i", "back"], cwd=f"/proc/self/fd/{there}", check=True)
        edges.write(deep, "back", b"waits")
        path = (DEEP + b"/back").decode()
        assert wait(lambda: [one["path"] for one in (b.status() or {})["trees"][0]["failing"]] == [path], 60)
        told = c.ask("why", "www:" + path)
        assert "web1: has an older version" in told.stdout and "Operation not permitted" in told.stdout
    finally:
        subprocess.run(["chattr", "-i", "back"], cwd=f"/proc/self/fd/{there}", check=False)
        os.close(there)
        os.close(deep)
    mixed.settle()
    judge(mixed)


def test_a_directory_moves_into_another_while_it_is_edited_elsewhere(mixed: Cluster) -> None:
    a, b, c = (agent.tree for agent in mixed.agents)
    (a / "d" / "in").mkdir(parents=True)
    (a / "d" / "in" / "f").write_text("old")
    (a / "d" / "g").write_text("g")
    (a / "e").mkdir()
    mixed.start()
    mixed.settle()
    mixed.agents[1].host.pull_cable()
    assert wait(lambda: mixed.agents[0].status()["peers"] != [], 20)  # type: ignore[index]
    os.rename(a / "d", a / "e" / "d")
    (b / "d" / "in" / "f").write_text("edited meanwhile")
    (b / "d" / "in" / "new").write_text("made meanwhile")
    assert wait(lambda: (c / "e" / "d" / "g").exists() and not (c / "d").exists(), 60)
    mixed.agents[1].host.plug_cable()
    mixed.flush()
    judge(mixed)
    assert (a / "d/in/f").read_text() == "edited meanwhile" and (a / "d/in/new").read_text() == "made meanwhile"
    assert (a / "e/d/in/f").read_text() == "old" and (a / "e/d/g").read_text() == "g" and not (a / "d/g").exists()
