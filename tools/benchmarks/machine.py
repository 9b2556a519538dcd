"""The machine that is measured on: what is installed, what is missing, what it is."""

from __future__ import annotations

import importlib.util
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers import PEERS

_POLICY = Path("/usr/sbin/policy-rc.d")


def versions(peers: Sequence[str]) -> dict[str, str]:
    """What each peer says of itself; those that are missing are said to be."""
    told = {}
    for name in peers:
        kind = PEERS[name]
        missing = kind.missing()
        told[name] = f"not installed: {' '.join(sorted(set(missing.values())))}" if missing else kind.version()
    return told


def description() -> str:
    """Cores, processor, memory, kernel and Python, in one line."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return (
        f"{os.cpu_count()} cores ({model}), {memory:.0f} GiB, Linux {platform.release()}, "
        f"Python {platform.python_version()}"
    )


def install(peers: Sequence[str], picture: bool) -> int:
    """Install what the peers lack, from Debian, and what pictures need; the exit status of what failed."""
    packages = sorted({package for name in peers for package in PEERS[name].missing().values()})
    if packages:
        print(f"installing: {' '.join(packages)}", file=sys.stderr)
        if status := _apt(packages):
            return status
    if picture and not can_draw():
        print("installing: matplotlib", file=sys.stderr)
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "matplotlib"]
        return subprocess.run(command, check=False, stdout=sys.stderr).returncode
    return 0


def can_draw() -> bool:
    """Whether pictures can be made."""
    return importlib.util.find_spec("matplotlib") is not None


def _apt(packages: Sequence[str]) -> int:
    """Install without starting the services that come with some of them: the bench starts its own."""
    guard = not _POLICY.exists()
    if guard:
        _POLICY.write_text("#!/bin/sh\nexit 101\n")
        _POLICY.chmod(0o755)
    try:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *packages]):
            done = subprocess.run(["apt-get", *command], check=False, env=environment, stdout=sys.stderr)
            if done.returncode != 0:
                return done.returncode
    finally:
        if guard:
            _POLICY.unlink()
    return 0
