"""The command as a whole: help, version, wrong usage, and no agent."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from l2sync import __version__
from l2sync.cli.main import command

Run = Callable[..., tuple[int, str, str]]
COMMANDS = command.list_commands(click.Context(command))


def test_the_version_is_told(l2sync: Run) -> None:
    assert l2sync("--version") == (0, f"l2sync {__version__}\n", "")


def test_help_names_every_command(l2sync: Run) -> None:
    status, out, _ = l2sync("--help")
    assert status == 0
    assert all(f"  {name} " in out for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(l2sync: Run, name: str) -> None:
    status, out, _ = l2sync(name, "--help")
    assert status == 0
    assert out.startswith(f"Usage: l2sync {name}")


@pytest.mark.parametrize("arguments", [["nosuch"], ["status", "--nosuch"], ["status", "--check", "--json"], ["lock"]])
def test_wrong_usage_has_its_own_exit_status(l2sync: Run, arguments: list[str]) -> None:
    status, out, err = l2sync(*arguments)
    assert (status, out) == (64, "")
    assert err.startswith("l2sync") and err.endswith(" --help.\n")


@pytest.mark.parametrize(
    "arguments", [["status"], ["status", "--check"], ["flush"], ["rescan"], ["conflicts"], ["lock", "x", "--", "true"]]
)
def test_without_an_agent_each_command_says_what_to_do(l2sync: Run, tmp_path: Path, arguments: list[str]) -> None:
    where = [arguments[0], "--socket", str(tmp_path / "none"), *arguments[1:]]
    status, out, err = l2sync(*where)
    assert (status, out) == (2, "")
    assert "systemctl start l2sync" in err
    assert "Traceback" not in err


def test_a_socket_that_is_none_is_no_agent(l2sync: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert l2sync("status", "--socket", tmp_path / "file")[0] == 2


def test_run_names_every_fault_and_is_not_to_be_restarted(l2sync: Run, tmp_path: Path) -> None:
    config = tmp_path / "l2sync.toml"
    config.write_text('[cluster]\nname = 5\n[node]\nnam = "x"\n')
    status, _, err = l2sync("run", "--config", config)
    assert status == 78
    for key in ("cluster.name", "cluster.key_file", "cluster.interface", "node.nam", "tree"):
        assert f"{config}: {key}: " in err


@pytest.mark.slow
def test_asking_does_not_load_what_running_needs() -> None:
    code = "import l2sync.cli.asking, sys; print('trio' in sys.modules, 'sqlite3' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("statsu",), "l2sync: there is no command 'statsu'; did you mean status?\nSee l2sync --help.\n"),
        (("zzz",), "l2sync: there is no command 'zzz'\nSee l2sync --help.\n"),
        (
            ("status", "--jsn"),
            "l2sync status: no such option '--jsn'. Did you mean '--json'?\nSee l2sync status --help.\n",
        ),
        (
            ("flush", "--timeout", "x"),
            "l2sync flush: invalid value for '--timeout': 'x' is no number\nSee l2sync flush --help.\n",
        ),
    ],
)
def test_wrong_usage_is_told_in_a_line(l2sync: Run, words: tuple[str, ...], said: str) -> None:
    assert l2sync(*words) == (64, "", said)


def test_help_tells_of_each_command_without_loading_any(l2sync: Run) -> None:
    status, out, _ = l2sync("--help")
    assert status == 0 and "..." not in out.partition("Commands:")[2]
