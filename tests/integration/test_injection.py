"""The whole agent, killed before a system call of its own or refused one, by strace; then started again as usual."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .cluster import Agent, Cluster, wait

pytestmark = [pytest.mark.root, pytest.mark.slow]
KILLS = ["renameat2:signal=KILL:when=3"]
ERRORS = ["pwrite64:error=ENOSPC:when=12", "openat:error=EMFILE:when=900+50"]


def start_traced(agent: Agent, injection: str) -> None:
    """Start the agent under strace, which interferes as told; the process is the agent's own."""
    words = ["strace", "-D", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-e", f"inject={injection}"]
    run = [sys.executable, "-m", "l2sync.cli", "run", "--config", str(agent.config)]
    with open(agent.place / "log", "ab") as log:
        agent.process = agent.host.popen([*words, *run], stdout=log, stderr=log)


def contents(tree: Path) -> dict[str, bytes]:
    """Each file's bytes by its path, but for what is the agent's."""
    files = [path for path in tree.rglob("*") if path.is_file() and ".l2sync" not in path.parts]
    return {str(path.relative_to(tree)): path.read_bytes() for path in files}


@pytest.mark.parametrize("injection", KILLS + ERRORS)
def test_an_agent_killed_or_refused_leaves_files_old_or_new_and_converges(
    cluster: Callable[[int], Cluster], injection: str
) -> None:
    made = cluster(2)
    a, b = made.agents
    for number in range(12):
        (a.tree / f"d{number % 3}").mkdir(exist_ok=True)
        (a.tree / f"d{number % 3}/f{number}").write_bytes(b"old %d " % number * 2000)
    made.start()
    made.flush()
    b.end()
    old = contents(b.tree)
    for number in range(12):
        (a.tree / f"d{number % 3}/f{number}").write_bytes(b"new %d " % number * 3000)
    (a.tree / "d0").rename(a.tree / "moved")
    (a.tree / "d1/f1").unlink()
    new = contents(a.tree)
    start_traced(b, injection)
    assert b.process is not None
    if injection in KILLS:
        assert b.process.wait(120) == -9
        b.process = None
    else:
        assert wait(lambda: contents(b.tree) == new or b.process is None or b.process.poll() is not None, 90)
        b.end()
    for path, found in contents(b.tree).items():
        assert found in (old.get(path), new.get(path)), f"{path} is neither old nor new"
    b.start()
    made.flush()
    made.judge()
    assert contents(b.tree) == new
