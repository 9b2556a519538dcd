"""The benchmark's own instruments, and one small round of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from benchmarks import report  # noqa: E402
from benchmarks.meters import Metered  # noqa: E402
from benchmarks.scenarios import Result  # noqa: E402
from benchmarks.trees import difference, make_tree, marks, rewrite, wait_for  # noqa: E402

needs_rsync = pytest.mark.skipif(shutil.which("rsync") is None, reason="needs rsync")


def test_equal_seeds_make_equal_trees(tmp_path: Path) -> None:
    sizes = [make_tree(tmp_path / name, 100, 20, 100, seed=3) for name in ("one", "other")]
    assert sizes[0] == sizes[1] > 0
    one, other = [{mark.path: (mark.kind, mark.size) for mark in marks(tmp_path / name)} for name in ("one", "other")]
    assert one == other
    assert len([path for path in one if path.endswith(".dat")]) == 100


def test_rewriting_changes_the_named_files_only(tmp_path: Path) -> None:
    make_tree(tmp_path / "tree", 50, 5, 100, seed=3)
    before = {path: path.read_bytes() for path in (tmp_path / "tree").rglob("*.dat")}
    changed, size = rewrite(tmp_path / "tree", 10, seed=4)
    assert len(changed) == 10
    differing = [path for path, content in before.items() if path.read_bytes() != content]
    assert size == sum(len(before[path]) for path in differing)
    assert {str(path.relative_to(tmp_path / "tree")) for path in differing} <= set(changed)


def test_waiting_names_what_has_not_arrived(tmp_path: Path) -> None:
    make_tree(tmp_path / "source", 10, 5, 100, seed=3)
    (tmp_path / "target").mkdir()
    with pytest.raises(TimeoutError, match="part00"):
        wait_for(marks(tmp_path / "source"), [tmp_path / "target"], time.monotonic())
    wait_for(marks(tmp_path / "source"), [tmp_path / "source"], time.monotonic())


@needs_rsync
@pytest.mark.slow
def test_a_difference_is_seen_in_content_mode_and_presence_but_not_in_our_own_folder(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    make_tree(one, 20, 5, 100, seed=3)
    (one / ".l2sync").mkdir()
    shutil.copytree(one, other, symlinks=True, ignore=shutil.ignore_patterns(".l2sync"))
    shutil.copystat(one, other)
    assert difference(one, other) == []
    victim = next(path for path in sorted(other.rglob("*.dat")) if path.stat().st_size)
    times = os.stat(victim)
    victim.write_bytes(bytes(victim.stat().st_size))
    os.utime(victim, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert len(difference(one, other)) == 1
    victim.unlink()
    assert any(victim.name in line for line in difference(one, other))


@pytest.mark.slow
def test_a_process_bill_has_its_children_in_it() -> None:
    burn = (
        "import subprocess, sys; subprocess.run([sys.executable, '-c', 'x = bytearray(50 << 20); sum(range(10**6))'])"
    )
    metered = Metered(subprocess.Popen([sys.executable, "-c", burn]), "sender")
    assert metered.wait(time.monotonic() + 30) == 0
    assert metered.cpu() > 0
    assert metered.peak() > 50 << 20


def test_the_table_shows_ratios_failures_and_differences() -> None:
    results = [
        Result("big", "l2sync", seconds=10.0, payload=100_000_000, sender_bytes=103_000_000, segment_bytes=104_000_000),
        Result("big", "rsync", seconds=80.0, payload=100_000_000, differences=[">f"]),
        Result("tree", "l2sync", failure="it broke"),
        Result("idle", "l2sync", seconds=20.0, figures={"cpu_percent_worst": 0.5}),
    ]
    lines = report.table(results, rate=100).splitlines()
    assert lines[2].split() == ["l2sync", "10.00", "1.25", "0.12", "1.030", "1.040", "0.00", "0", "yes"]
    assert "DIFFERENT" in lines[3]
    assert "FAILED: it broke" in report.table(results, rate=100)
    assert "cpu_percent_worst 0.50" in report.table(results, rate=100)


@needs_rsync
@pytest.mark.slow
@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("ip") is None, reason="namespaces need root and iproute2")
def test_a_small_round_with_rsync(tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "tools/bench", "big", "tree", "edits", "--peers", "rsync", "--receivers", "2"]
    command += ["--scale", "0.01", "--rate", "100", "--json", "--workdir", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    results = {result["scenario"]: result for result in json.loads(done.stdout)["results"]}
    assert set(results) == {"big", "tree", "edits"}
    assert results["big"]["link_ratio"] > 1.5  # two copies through one port
    assert results["big"]["sender_bytes"] > 2 * results["big"]["payload"]
    assert not list(tmp_path.iterdir())
