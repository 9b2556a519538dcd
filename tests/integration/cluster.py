"""Real agents in network namespaces, over real trees, judged by rsync."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from l2sync.cli.lab import Host, Lab

JUDGE = ["rsync", "-aHAXnc", "--delete", "--itemize-changes", "--exclude=/.l2sync"]
_CONFIG = """\
[cluster]
name = "test"
key_file = "{key}"
interface = "{interface}"
[node]
name = "web{number}"
state_dir = "{place}/state"
control_socket = "{place}/sock"
[[tree]]
name = "www"
path = "{tree}"
settle_ms = 20
{more}"""


class Agent:
    """One host's agent, its tree and its configuration."""

    def __init__(
        self, number: int, host: Host, place: Path, key: Path, tree: Path | None = None, more: str = ""
    ) -> None:
        """``tree``: where the tree is, else beside the state; ``more``: further lines of the tree's configuration."""
        self.number, self.host, self.place = number, host, place
        place.mkdir(parents=True, exist_ok=True)
        self.tree = place / "tree" if tree is None else tree
        self.tree.mkdir(parents=True, exist_ok=True)
        self.socket = place / "sock"
        self.config = place / "l2sync.toml"
        values = {"key": key, "interface": host.interface, "number": number, "place": place}
        self.config.write_text(_CONFIG.format(**values, tree=self.tree, more=more))
        self.process: subprocess.Popen[bytes] | None = None

    def command(self, *words: str) -> list[str]:
        """A command line of ours that asks this agent."""
        return [sys.executable, "-m", "l2sync.cli", words[0], "--socket", str(self.socket), *words[1:]]

    def ask(self, *words: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command of ours against this agent."""
        return subprocess.run(self.command(*words), capture_output=True, text=True, timeout=timeout, check=False)

    def start(self) -> None:
        """Start the agent."""
        with open(self.place / "log", "ab") as log:
            run = [sys.executable, "-m", "l2sync.cli", "run", "--config", str(self.config)]
            self.process = self.host.popen(run, stdout=log, stderr=subprocess.STDOUT)

    def end(self, how: int = signal.SIGTERM) -> int:
        """End the agent and wait for it; its exit status."""
        assert self.process is not None
        process, self.process = self.process, None
        process.send_signal(how)
        return process.wait(20)

    def status(self) -> dict | None:  # type: ignore[type-arg]
        """What `status --json` says; None without an agent."""
        told = self.ask("status", "--json", timeout=180)
        return json.loads(told.stdout) if told.stdout.startswith("{") else None


class Cluster:
    """Agents on one segment; all of it is removed at the end."""

    def __init__(self, hosts: int, place: Path, trees: Sequence[Path] = (), more: str = "") -> None:
        self.place = place
        self._trees, self._more = trees, more
        self.lab = Lab(hosts=hosts)
        self.agents: list[Agent] = []
        self._hosts = hosts

    def __enter__(self) -> Cluster:
        self.lab.__enter__()
        self.key = self.place / "key"
        subprocess.run([sys.executable, "-m", "l2sync.cli", "keygen", str(self.key)], check=True, capture_output=True)
        for number, host in enumerate(self.lab.hosts):
            tree = self._trees[number] if self._trees else None
            self.agents.append(Agent(number, host, self.place / f"host{number}", self.key, tree, self._more))
        return self

    def __exit__(self, *error: object) -> None:
        for agent in self.agents:
            if agent.process is not None:
                agent.process.kill()
                agent.process.wait(20)
        self.lab.__exit__(None, None, None)
        shutil.rmtree(self.place, ignore_errors=True)

    def start(self) -> None:
        for agent in self.agents:
            if agent.process is None:
                agent.start()

    def running(self) -> list[Agent]:
        return [agent for agent in self.agents if agent.process is not None]

    def settle(self, seconds: float = 60) -> None:
        """Wait until every running agent says in sync and sees all the others online."""
        others = len(self.running()) - 1

        def settled() -> bool:
            for agent in self.running():
                told = agent.status()
                if told is None or not told["in_sync"]:
                    return False
                if sum(peer["state"] == "online" for peer in told["peers"]) != others:
                    return False
            return True

        if not wait(settled, seconds):
            logs = "\n".join((agent.place / "log").read_text()[-1500:] for agent in self.running())
            told = [(status or {}).get("reasons") for status in (agent.status() for agent in self.running())]
            raise AssertionError(f"not in sync after {seconds} s: {told}\n{logs}")

    def flush(self) -> None:
        """Flush on every running agent, twice round, so that each has said it after the others' last words."""
        for agent in self.running():
            assert wait(lambda agent=agent: agent.status() is not None, 20)  # type: ignore[misc]
        for _ in range(2):
            for agent in self.running():
                done = agent.ask("flush", "--timeout", "60", timeout=90)
                assert done.returncode == 0, done.stderr
        self.settle()

    def judge(self) -> None:
        """All running agents' trees are the same: rsync finds nothing to do, times are equal to the ns."""
        first, *rest = [agent.tree for agent in self.running()]
        for other in rest:
            found = subprocess.run([*JUDGE, f"{first}/", f"{other}/"], capture_output=True, text=True, check=True)
            assert found.stdout == "", f"{first} and {other} differ:\n{found.stdout[:2000]}"
            assert times(first) == times(other)


def times(tree: Path) -> dict[str, int]:
    """Modification times in ns by relative path."""
    found = {}
    for place, folders, files in os.walk(tree):
        if place == str(tree):
            folders[:] = [folder for folder in folders if folder != ".l2sync"]
        for each in [*folders, *files]:
            path = os.path.join(place, each)
            found[os.path.relpath(path, tree)] = os.lstat(path).st_mtime_ns
    return found


def wait(until: Callable[[], bool], seconds: float) -> bool:
    """Poll until it holds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if until():
            return True
        time.sleep(0.05)
    return until()
