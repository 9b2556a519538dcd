"""Trees on ext4, xfs, btrfs and tmpfs at once, and what can befall a file system under a running agent."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .cluster import Agent, Cluster, wait
from .mounts import KINDS, fill, mounted

pytestmark = [pytest.mark.root, pytest.mark.slow]


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Four agents, each tree a directory of a file system of another kind."""
    place = tmp_path_factory.mktemp("kinds")
    with contextlib.ExitStack() as stack:
        trees = []
        for number, (kind, megabytes) in enumerate(KINDS.items()):
            where = stack.enter_context(mounted(kind, place / f"disk{number}", place / f"image{number}", megabytes))
            (where / "tree").mkdir()
            trees.append(where / "tree")
        (place / "hosts").mkdir()
        made = stack.enter_context(Cluster(len(trees), place / "hosts", trees))
        made.start()
        made.settle()
        yield made


def paused(agent: Agent) -> str:
    """Why its tree is paused, as its status says; empty when it is not."""
    told = agent.status()
    return str((told or {"trees": [{}]})["trees"][0].get("paused_reason") or "")


def converged(cluster: Cluster) -> None:
    cluster.flush()
    cluster.judge()


def test_every_kind_of_file_system_gives_to_every_other(field: Cluster) -> None:
    for agent in field.agents:
        for number in range(30):
            path = agent.tree / f"of{agent.number}/d{number % 3}/f{number}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(os.urandom(number * 1000))
            os.setxattr(path, "user.of", b"%d" % number)
        (agent.tree / f"link{agent.number}").symlink_to("of0")
        os.link(path, agent.tree / f"second{agent.number}")
    converged(field)
    for agent in field.agents:
        (agent.tree / f"of{(agent.number + 1) % 4}/d0").rename(agent.tree / f"moved{agent.number}")
    converged(field)
    assert len(list(field.agents[0].tree.rglob("f*"))) == 120


@pytest.mark.parametrize("number", [0, 2], ids=["ext4", "btrfs"])
def test_a_full_disk_pauses_its_tree_alone_and_catches_up_with_room(field: Cluster, number: int) -> None:
    full, giver, third, _ = field.agents[number:] + field.agents[:number]
    ballast = fill(full.tree, 0)
    for part in range(12):
        (giver.tree / f"much{number}-{part}").write_bytes(os.urandom(1_000_000))
    assert wait(lambda: len(list(third.tree.glob(f"much{number}-*"))) == 12, 60), "the others go on"
    assert wait(lambda: "no space" in paused(full) or bool((full.status() or {}).get("reasons")), 60)
    os.unlink(ballast)
    converged(field)
    for part in range(12):
        os.unlink(third.tree / f"much{number}-{part}")
    converged(field)


def test_a_file_system_remounted_read_only_pauses_and_goes_on_when_writable(field: Cluster) -> None:
    one, other = field.agents[0], field.agents[1]
    disk = one.tree.parent
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    (other.tree / "meanwhile").write_text("written while it was read-only")
    assert wait(lambda: "read-only" in paused(one), 60)
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    converged(field)
    assert (one.tree / "meanwhile").exists()


def inside(agent: Agent, *words: str | Path) -> None:
    """Run a command among the mounts that the agent sees: `ip netns exec` gives each process its own."""
    assert agent.process is not None
    subprocess.run(["nsenter", "-t", str(agent.process.pid), "-m", *words], check=True)


def test_a_root_unmounted_and_mounted_again_deletes_nothing_anywhere(field: Cluster) -> None:
    one, other = field.agents[0], field.agents[1]
    disk = one.tree.parent
    found = subprocess.run(["findmnt", "-no", "SOURCE", disk], check=True, capture_output=True, text=True)
    (one.tree / "kept").write_text("before")
    converged(field)
    before = {path.relative_to(other.tree) for path in other.tree.rglob("*")}
    inside(one, "umount", "-l", disk)
    inside(one, "mkdir", one.tree)  # what a start script may leave at a mount point
    assert wait(lambda: "is its disk mounted?" in paused(one), 60)
    (other.tree / "meanwhile too").write_text("written while it was away")
    inside(one, "rmdir", one.tree)
    inside(one, "mount", found.stdout.strip(), disk)
    converged(field)
    assert {path.relative_to(other.tree) for path in other.tree.rglob("*")} >= before
    assert (one.tree / "meanwhile too").exists() and (one.tree / "kept").read_text() == "before"


def test_a_file_system_mounted_within_the_tree_is_not_part_of_it(field: Cluster) -> None:
    one, other = field.agents[2], field.agents[3]
    below = one.tree / "within/below"
    below.mkdir(parents=True)
    (below / "file").write_text("of the tree")
    converged(field)
    inside(one, "mount", "-t", "tmpfs", "none", below)
    inside(one, "touch", below / "inside")
    (other.tree / "within/below/later").write_text("for below the mount")
    (one.tree / "within/beside").write_text("of the tree")
    assert wait(lambda: (other.tree / "within/beside").exists(), 60)
    assert not (other.tree / "within/below/inside").exists()
    assert (other.tree / "within/below/file").read_text() == "of the tree", "what it hides is not deleted"
    inside(one, "umount", below)
    converged(field)
    assert (below / "file").exists() and (below / "later").exists()
