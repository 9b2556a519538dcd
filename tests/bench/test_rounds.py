"""Small rounds of the bench itself: every figure there, equal trees, nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
BENCH = [sys.executable, str(ROOT / "tools/bench")]
SMALL = ["--receivers", "2", "--scale", "0.005", "--json"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("ip") is None, reason="namespaces need root and iproute2"),
    pytest.mark.skipif(shutil.which("rsync") is None, reason="needs rsync"),
]


def namespaces(process: int) -> list[Path]:
    return list(Path("/run/netns").glob(f"l2s-{process}-*"))


def bench(tmp_path: Path, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    """The exit status, and the results; the working directory is empty afterwards."""
    command = [*BENCH, *arguments, *SMALL, "--workdir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        out, error = process.communicate(timeout=120)
    assert process.returncode in (0, 1), error
    assert not list(tmp_path.iterdir())
    assert not namespaces(process.pid)
    return process.returncode, json.loads(out)["results"]


def test_copies_by_rsync_cost_a_transmission_for_each_receiver(tmp_path: Path) -> None:
    status, results = bench(tmp_path, "big", "edits", "--peers", "rsync", "--rate", "100")
    assert status == 0
    assert [result["scenario"] for result in results] == ["big", "edits"]
    large = results[0]
    assert large["link_ratio"] > 1.5
    assert large["sender_bytes"] > 2 * large["payload"]
    assert large["peak"] > 0


def test_sweeps_show_each_step_and_what_became_of_it(tmp_path: Path) -> None:
    status, results = bench(tmp_path, "receivers", "slow", "--peers", "rsync", "--counts", "1,2")
    assert status == 0
    assert [result["label"] for result in results] == ["1 receivers", "2 receivers", "all even", "one slow"]
    assert results[1]["sender_bytes"] > 1.8 * results[0]["sender_bytes"]
    assert results[3]["figures"]["slow_s"] > results[3]["figures"]["others_s"]


def test_a_delta_costs_little_and_a_bare_loop_gives_the_limit(tmp_path: Path) -> None:
    status, results = bench(tmp_path, "delta", "bare", "--peers", "rsync")
    assert status == 0
    overwritten, inserted, bare = results
    assert 1000 < overwritten["sender_bytes"] < 200_000
    assert 1000 < inserted["sender_bytes"] < 200_000
    assert bare["figures"]["bare_mb_s"] > 0


def test_a_tool_that_is_not_installed_or_fails_is_a_result_and_ends_nothing_else(tmp_path: Path) -> None:
    status, results = bench(tmp_path, "big", "--peers", "l2sync,rsync", "--command", "/bin/false")
    assert status == 1
    assert "keygen" in results[0]["failure"]
    assert not results[1]["failure"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ending_it_in_the_middle_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    command = [*BENCH, "big", "--peers", "rsync", "--rate", "0.1", "--receivers", "1", "--workdir", str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        while not list(tmp_path.rglob("rsyncd.conf")):
            assert process.poll() is None
        process.send_signal(number)
        assert process.wait(timeout=60) != 0
    assert not list(tmp_path.iterdir())
    assert not namespaces(process.pid)
