"""The systemd unit: sound, and as narrow as it is said to be."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[2] / "systemd" / "l2sync.service"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"),
]


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that exists here: whether it is installed is not the question."""
    copy = tmp_path / "l2sync.service"
    copy.write_text(re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={sys.executable}", UNIT.read_text()))
    return copy


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)


def test_systemd_finds_nothing_wrong(unit: Path) -> None:
    done = analyze("verify", str(unit))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_exposure_is_four_at_the_most(unit: Path) -> None:
    done = analyze("security", "--offline=yes", "--threshold=40", "--no-pager", str(unit))
    assert done.returncode == 0, done.stdout
