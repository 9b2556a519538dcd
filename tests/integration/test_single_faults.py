"""A fault of one file on one host, with real agents: that file alone waits, and heals when the cause is gone."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .cluster import Agent, Cluster, wait

pytestmark = [pytest.mark.root, pytest.mark.slow]
Make = Callable[[int], Cluster]


def failing(agent: Agent) -> dict[str, str]:
    """Paths in trouble and why, as the agent's status tells them."""
    told = agent.status()
    assert told is not None
    return {one["path"]: one["reason"] for one in told["trees"][0]["failing"]}


def below(agent: Agent, name: str) -> list[str]:
    """Paths in trouble in one node's tree, as ``why`` tells another."""
    nodes = json.loads(agent.ask("why", str(agent.tree), "--json").stdout)["nodes"]
    return [one["path"] for node in nodes if node["name"] == name for one in node["below"]]


@pytest.fixture
def mounted(cluster: Make) -> Iterator[Cluster]:
    """Three agents, the second one's tree on a small ext4 file system of its own."""
    made = cluster(3)
    place = made.agents[1]
    image = place.place / "image"
    with open(image, "wb") as file:
        file.truncate(48 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, place.tree], check=True)
    os.rmdir(place.tree / "lost+found")
    try:
        made.start()
        made.settle()
        yield made
    finally:
        if place.process is not None:
            place.end()
        subprocess.run(["chattr", "-R", "-i", place.tree], check=False, capture_output=True)
        subprocess.run(["umount", "-l", place.tree], check=True)


def test_what_one_host_cannot_put_in_place_waits_alone_and_heals(mounted: Cluster) -> None:
    a, b, c = mounted.agents
    (a.tree / "fixed").write_text("old")
    (a.tree / "free").write_text("old")
    mounted.flush()
    subprocess.run(["chattr", "+i", b.tree / "fixed"], check=True)
    (a.tree / "fixed").write_text("newer")
    (a.tree / "free").write_text("newer")
    (a.tree / "huge").write_bytes(os.urandom(60 << 20))
    assert wait(lambda: failing(b).keys() == {"fixed", "huge"}, 30)
    assert failing(b)["fixed"] == "Operation not permitted" and failing(b)["huge"].startswith("no space for it")
    assert (b.tree / "free").read_text() == "newer" and (b.tree / "fixed").read_text() == "old"
    assert wait(lambda: (c.tree / "huge").exists() and (c.tree / "fixed").read_text() == "newer", 30)
    told = c.ask("why", "www:fixed")
    assert told.returncode == 1
    assert "web1: has an older version" in told.stdout and "Operation not permitted (tried again in" in told.stdout
    assert "web0: has it." in told.stdout and "web2 (here): has it." in told.stdout
    assert wait(lambda: below(a, "web1") == ["fixed", "huge"], 30)
    (c.tree / "later").write_text("goes on")
    assert wait(lambda: (b.tree / "later").exists() and (a.tree / "later").exists(), 10)
    subprocess.run(["chattr", "-i", b.tree / "fixed"], check=True)
    os.unlink(a.tree / "huge")
    mounted.settle(90)
    mounted.judge()
    assert failing(b) == {}


def test_a_file_that_its_host_cannot_read_waits_alone_and_heals(cluster: Make, tmp_path: Path) -> None:
    made = cluster(3)
    a, b, _ = made.agents
    made.start()
    made.settle()
    bad = a.tree / "bad"
    bad.write_text("old")
    made.flush()
    assert a.process is not None
    inject = ["strace", "-f", "-qq", "-p", str(a.process.pid), "-o", str(tmp_path / "trace")]
    inject += ["-P", str(bad), "-e", "trace=pread64,read", "-e", "inject=pread64,read:error=EIO"]
    tracer = subprocess.Popen(inject)
    try:
        assert wait(lambda: "TracerPid:\t0" not in Path(f"/proc/{a.process.pid}/status").read_text(), 10)  # type: ignore[union-attr]
        bad.write_text("newer")
        (a.tree / "good").write_text("new")
        assert wait(lambda: failing(a) == {"bad": "Input/output error"}, 20)
        assert wait(lambda: (b.tree / "good").exists(), 10) and (b.tree / "bad").read_text() == "old"
    finally:
        tracer.terminate()
        tracer.wait(10)
    made.settle(60)
    made.judge()
    assert (b.tree / "bad").read_text() == "newer" and failing(a) == {}


def test_asking_why_of_what_is_gone_ignored_or_outside(cluster: Make) -> None:
    made = cluster(2)
    a, b = made.agents
    (a.tree / ".l2syncignore").write_text("*.swp\n")
    (a.tree / "gone").write_text("old")
    made.start()
    made.flush()
    os.unlink(b.tree / "gone")
    made.flush()
    (a.tree / "x.swp").write_text("not for others")
    os.mkfifo(b.tree / "pipe")
    gone = a.ask("why", str(a.tree / "gone"))
    assert gone.returncode == 0 and "It was deleted on web1" in gone.stdout
    assert "ignored there, by *.swp in .l2syncignore" in a.ask("why", "www:x.swp").stdout
    assert "A FIFO stands there" in a.ask("why", "www:pipe").stdout
    outside = a.ask("why", "/etc/passwd")
    assert outside.returncode == 64 and "in none of the trees" in outside.stderr
    private = a.ask("why", str(a.tree / ".l2sync/id"))
    assert private.returncode == 64 and "the agent's own directory" in private.stderr
