"""The demonstration, on a small tree: it ends well, and nothing of it stays behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("ip") is None, reason="namespaces need root and iproute2"),
]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source" / "a" / "b").mkdir(parents=True)
    for number in range(50):
        (tmp_path / "source" / "a" / "b" / f"file{number}").write_text("x" * number)
    (tmp_path / "source" / "link").symlink_to("a/b/file1")
    return tmp_path / "source"


def start(source: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "l2sync.cli", "demo", "--nodes", "2", "--tree", str(source)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def traces(pid: int) -> list[Path]:
    """Namespaces and directories of the demonstration run by this process."""
    return [*Path("/run/netns").glob(f"l2s-{pid}-*"), *Path("/var/tmp").glob(f"l2sync-demo-{pid}-*")]


def agents_up(pid: int) -> int:
    return len([*Path("/var/tmp").glob(f"l2sync-demo-{pid}-*/node*/control.sock")])


def test_it_proves_equality_and_leaves_nothing(source: Path) -> None:
    with start(source) as process:
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert "EQUAL: 2 trees" in output
    assert "both versions are kept on every node" in output
    assert traces(process.pid) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_breaking_it_off_leaves_nothing(source: Path, number: signal.Signals) -> None:
    with start(source) as process:
        deadline = time.monotonic() + 20
        while agents_up(process.pid) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert agents_up(process.pid) == 2
        process.send_signal(number)
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 128 + number, output
    assert "Traceback" not in output
    assert traces(process.pid) == []
