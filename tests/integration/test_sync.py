"""The main job, with real agents over a real segment."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .cluster import Cluster, wait

pytestmark = [pytest.mark.root, pytest.mark.slow]
Make = Callable[[int], Cluster]


def fill(tree: Path, prefix: str, count: int = 60) -> None:
    """Some files in some directories, a link, modes."""
    for i in range(count):
        path = tree / prefix / f"d{i % 7}" / f"f{i}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{prefix} {i}\n" * (i * 17 % 300))
    (tree / prefix / "link").symlink_to("d1/f1.txt")
    (tree / prefix / "d2/f2.txt").chmod(0o4750)
    os.chown(tree / prefix / "d3/f3.txt", 12345, 54321)


def started(cluster: Make, hosts: int) -> Cluster:
    made = cluster(hosts)
    fill(made.agents[0].tree, "base")
    made.start()
    made.settle()
    made.judge()
    return made


def test_ten_thousand_files_reach_empty_nodes(cluster: Make, large_tree: Path) -> None:
    made = cluster(3)
    shutil.copytree(large_tree, made.agents[0].tree / "real", symlinks=True)
    made.start()
    made.settle(120)
    made.judge()
    told = made.agents[1].status()
    assert told is not None and told["trees"][0]["entries"] >= 10_000


def test_disjoint_trees_become_one_in_both_directions(cluster: Make) -> None:
    made = cluster(3)
    for agent in made.agents:
        fill(agent.tree, f"of{agent.number}")
    made.start()
    made.settle()
    made.judge()
    assert sorted(p.name for p in made.agents[0].tree.iterdir() if p.name != ".l2sync") == ["of0", "of1", "of2"]


def test_edits_renames_and_deletions_on_three_nodes_at_once(cluster: Make) -> None:
    made = started(cluster, 3)
    a, b, c = (agent.tree / "base" for agent in made.agents)
    (a / "d0/f0.txt").write_text("edited on a")
    (a / "new").mkdir()
    (a / "new/file").write_text("new")
    (b / "d4").rename(b / "moved")
    (b / "d1/f1.txt").rename(b / "d1/renamed.txt")
    shutil.rmtree(c / "d5")
    (c / "d6/f6.txt").chmod(0o600)
    made.flush()
    made.judge()
    assert (c / "moved").is_dir() and not (a / "d5").exists() and (b / "d0/f0.txt").read_text() == "edited on a"
    assert not list(a.rglob("*conflict*"))


def test_an_agent_killed_in_the_middle_converges_after_its_return(cluster: Make) -> None:
    made = started(cluster, 3)
    data = os.urandom(12 << 20)
    (made.agents[0].tree / "big").write_bytes(data)
    fill(made.agents[0].tree, "more", 200)
    time.sleep(0.3)
    made.agents[2].end(signal.SIGKILL)
    (made.agents[1].tree / "base/d0/f0.txt").write_text("while it was away")
    made.settle()
    made.agents[2].start()
    made.flush()
    made.judge()
    assert (made.agents[2].tree / "big").read_bytes() == data
    assert not list(made.agents[0].tree.rglob("*conflict*"))


def test_the_origin_killed_in_the_middle_loses_nothing(cluster: Make) -> None:
    made = started(cluster, 3)
    data = os.urandom(12 << 20)
    (made.agents[0].tree / "big").write_bytes(data)
    time.sleep(0.3)
    made.agents[0].end(signal.SIGKILL)
    made.settle()
    made.agents[0].start()
    made.flush()
    made.judge()
    assert (made.agents[1].tree / "big").read_bytes() == data


def test_a_pulled_cable_with_edits_on_both_sides_keeps_both(cluster: Make) -> None:
    made = started(cluster, 3)
    made.agents[2].host.pull_cable()
    time.sleep(5)
    (made.agents[0].tree / "base/d0/f0.txt").write_text("from the two")
    (made.agents[2].tree / "base/d0/f0.txt").write_text("from the one")
    (made.agents[2].tree / "alone").write_text("alone")
    (made.agents[1].tree / "base/d1/f1.txt").unlink()
    time.sleep(15)
    made.agents[2].host.plug_cable()
    made.flush()
    made.judge()
    folder = made.agents[0].tree / "base/d0"
    kept = {p.read_text() for p in folder.glob("f0*")}
    assert kept == {"from the two", "from the one"}
    listed = made.agents[1].ask("conflicts").stdout
    assert "f0.conflict-web" in listed and (made.agents[0].tree / "alone").exists()
    assert not (made.agents[2].tree / "base/d1/f1.txt").exists()


def test_an_interface_that_goes_down_and_up_is_survived(cluster: Make) -> None:
    made = started(cluster, 2)
    made.agents[1].host.interface_down()
    (made.agents[0].tree / "meanwhile").write_text("x")
    time.sleep(5)
    made.agents[1].host.interface_up()
    made.flush()
    made.judge()
    assert (made.agents[1].tree / "meanwhile").exists()


def test_a_node_added_late_and_one_whose_state_was_deleted(cluster: Make) -> None:
    made = cluster(3)
    fill(made.agents[0].tree, "base")
    made.agents[0].start()
    made.agents[1].start()
    made.settle()
    made.agents[2].start()
    made.settle()
    made.judge()
    assert made.agents[1].end() == 0
    shutil.rmtree(made.agents[1].place / "state")
    (made.agents[0].tree / "base/d2/f2.txt").write_text("newer")
    (made.agents[2].tree / "base/d3/f3.txt").unlink()
    made.settle()
    made.agents[1].start()

    def asks() -> bool:
        told = made.agents[1].status()
        return told is not None and "base/d3/f3.txt" in (told["trees"][0]["paused_reason"] or "")

    assert wait(asks, 60), "what was deleted while its state was lost is not brought back unasked"
    assert not (made.agents[0].tree / "base/d3/f3.txt").exists()
    done = made.agents[1].ask("restore", "www")
    assert done.returncode == 0, done.stderr
    made.flush()
    made.judge()
    assert (made.agents[1].tree / "base/d2/f2.txt").read_text() == "newer"
    assert not (made.agents[1].tree / "base/d3/f3.txt").exists()
    assert list(made.agents[1].tree.glob(".l2sync/aside/*/base/d3/f3.txt"))


def test_goodbye_is_heard_at_once_and_a_second_agent_on_one_state_is_refused(cluster: Make) -> None:
    made = started(cluster, 2)
    again = made.agents[1]
    run = again.host.popen([*again.command("run")[:3], "run", "--config", str(again.config)], stderr=subprocess.PIPE)
    _, said = run.communicate(timeout=20)
    assert run.returncode not in (0, None) and b"Traceback" not in said and b"state" in said
    assert again.end() == 0

    def gone() -> bool:
        told = made.agents[0].status()
        return told is not None and told["peers"][0]["state"] == "offline"

    assert wait(gone, 2)


def test_flush_names_who_lacks_what_and_lock_excludes_the_others(cluster: Make) -> None:
    made = started(cluster, 2)
    a, b = made.agents
    assert b.process is not None
    b.process.send_signal(signal.SIGSTOP)
    (a.tree / "unseen").write_text("x")
    late = a.ask("flush", "--timeout", "1")
    b.process.send_signal(signal.SIGCONT)
    assert late.returncode == 3 and "web1" in late.stderr + late.stdout
    made.flush()
    assert (b.tree / "unseen").exists()
    script = f"echo held > {a.tree}/base/held; sleep 2; exit 7"
    holder = subprocess.Popen(a.command("lock", str(a.tree / "base"), "--", "sh", "-c", script))
    assert wait((a.tree / "base/held").exists, 5)
    refused = b.ask("lock", str(b.tree / "base/d1"), "--wait", "0.5", "--", "true")
    assert refused.returncode != 0 and holder.poll() is None
    assert not (b.tree / "base/held").exists()
    assert holder.wait(20) == 7
    assert b.ask("lock", str(b.tree / "base/d1"), "--wait", "5", "--", "true").returncode == 0
    made.flush()
    made.judge()
    assert (b.tree / "base/held").read_text() == "held\n"
