"""`l2sync lock`: whose exit status, and when the lock ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from l2sync.agent.protocol import LockQuery, Query, Reply, UnlockQuery, failure, success

from .conftest import FakeAgent

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def grant(request: pytest.FixtureRequest) -> None:
    if "agent" in request.fixturenames:
        request.getfixturevalue("agent").answer = lambda query: success()


def test_the_exit_status_is_the_commands(agent: FakeAgent, l2sync: Run, tmp_path: Path) -> None:
    status, out, _ = l2sync("lock", tmp_path / "a", tmp_path / "b", "--wait", "2", "--", "sh", "-c", "echo x; exit 7")
    assert (status, out) == (7, "x\n")
    paths = (bytes(tmp_path / "a"), bytes(tmp_path / "b"))
    assert agent.asked == [LockQuery(paths, 2.0), UnlockQuery()]


def test_relative_paths_are_those_of_the_caller(
    agent: FakeAgent, l2sync: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert l2sync("lock", "x/../y", "--", "true")[0] == 0
    assert agent.asked[0] == LockQuery((bytes(tmp_path / "y"),), None)


def test_options_of_the_command_are_left_to_it(agent: FakeAgent, l2sync: Run) -> None:
    assert l2sync("lock", "x", "--", "echo", "--wait", "1", "--", "y") == (0, "--wait 1 -- y\n", "")


def test_a_lock_not_to_be_had_in_time_runs_nothing(agent: FakeAgent, l2sync: Run, tmp_path: Path) -> None:
    agent.refuse("timeout", "web2 holds srv of www")
    status, _, err = l2sync("lock", "x", "--", "touch", tmp_path / "ran")
    assert (status, err) == (3, "l2sync: web2 holds srv of www\n")
    assert not (tmp_path / "ran").exists()


def test_a_path_outside_every_tree_is_wrong_usage(agent: FakeAgent, l2sync: Run) -> None:
    agent.refuse("outside", "/etc is in none of the trees")
    assert l2sync("lock", "/etc", "--", "true")[0] == 64


@pytest.mark.parametrize(("command", "status"), [("no-such-command", 127), ("/etc/passwd", 126)])
def test_a_command_that_cannot_run_gives_the_lock_back(
    agent: FakeAgent, l2sync: Run, command: str, status: int
) -> None:
    assert l2sync("lock", "x", "--", command)[0] == status
    assert agent.gone.wait(5)


def test_a_command_that_is_killed_ends_as_in_a_shell(agent: FakeAgent, l2sync: Run) -> None:
    assert l2sync("lock", "x", "--", "sh", "-c", "kill -KILL $$")[0] == 128 + signal.SIGKILL
    assert agent.asked[-1] == UnlockQuery()


def test_a_lock_that_was_lost_meanwhile_is_told(agent: FakeAgent, l2sync: Run) -> None:
    def lose(query: Query) -> Reply:
        return failure("failed", "no such lock") if isinstance(query, UnlockQuery) else success()

    agent.answer = lose
    status, _, err = l2sync("lock", "x", "--", "true")
    assert status == 0
    assert "the lock was lost" in err


def test_nothing_to_run_is_wrong_usage(l2sync: Run) -> None:
    assert l2sync("lock", "x")[0] == 64
    assert l2sync("lock", "x", "--")[0] == 64


@contextlib.contextmanager
def started(script: str) -> Iterator[subprocess.Popen[str]]:
    """`l2sync lock` around a shell script, once that has said that it is ready; nothing of it is left afterwards."""
    command = [sys.executable, "-m", "l2sync.cli", "lock", "x", "--", "sh", "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.slow
def test_a_signal_reaches_the_command_before_the_lock_ends(agent: FakeAgent) -> None:
    with started("trap 'echo stopped; exit 9' TERM; echo ready; while :; do sleep 0.05; done") as process:
        assert len(agent.asked) == 1
        process.terminate()
        assert process.stdout is not None
        assert process.stdout.readline() == "stopped\n"
        assert process.wait(10) == 9
    assert agent.asked[-1] == UnlockQuery()


@pytest.mark.slow
def test_ctrl_c_ends_the_command_and_then_the_lock(agent: FakeAgent) -> None:
    # With a trap: a shell without one may lose a signal that comes just before it starts a program.
    with started("trap 'exit 130' INT; echo ready; while :; do sleep 0.05; done") as process:
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(10) == 128 + signal.SIGINT
    assert agent.asked[-1] == UnlockQuery()


@pytest.mark.slow
def test_being_killed_ends_the_lock_and_the_command(agent: FakeAgent) -> None:
    with started("echo ready; exec sleep 60") as process:
        process.kill()
        assert agent.gone.wait(10)
        # The command holds the other end of our pipe: it ends when the command does.
        assert process.stdout is not None
        assert process.stdout.read() == ""
