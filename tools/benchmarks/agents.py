"""l2sync as one of the compared tools: an agent on every host, and nobody who starts a copy."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.meters import Metered
from benchmarks.peers import Peer, Unable
from benchmarks.trees import Mark, wait_for
from l2sync.cli.lab import Lab

_CONFIGURATION = """\
[cluster]
name = "bench"
key_file = "{key}"
interface = "eth0"

[node]
name = "host{number}"
state_dir = "{state}"
control_socket = "{socket}"

[[tree]]
name = "tree"
path = "{tree}"
"""


class L2sync(Peer):
    """Agents that run all the time; a transfer is what they do by themselves when the tree changes."""

    name = "l2sync"
    scenarios = frozenset({"big", "tree", "edits", "latency", "idle"})
    command: ClassVar[Path] = Path("l2sync")
    """The program; set from the command line."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        super().__init__(lab, folder)
        self.agents: list[Metered] = []

    def start(self, deadline: float) -> None:
        """Start all agents, and return when each sees all others online and all trees equal."""
        key = self.folder / "cluster.key"
        done = subprocess.run([self.command, "keygen", key], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Unable(f"l2sync keygen: {(done.stderr or done.stdout).strip()}")
        for host, tree in zip(self.lab.hosts, self.trees, strict=True):
            home = tree.parent
            (home / "state").mkdir()
            (home / "l2sync.toml").write_text(
                _CONFIGURATION.format(
                    key=key, number=host.number, state=home / "state", socket=self.socket(host.number), tree=tree
                )
            )
            self.agents.append(self.launch(host, [self.command, "run", "--config", home / "l2sync.toml"]))
        for number in range(len(self.agents)):
            self._wait_until_joined(number, deadline)

    def transfer(self, wanted: list[Mark], deadline: float) -> None:
        try:
            wait_for(wanted, self.trees[1:], deadline)
        except TimeoutError as error:
            self._check_alive()
            raise TimeoutError(f"{error}; in sync: {self.status(0).get('in_sync')}") from error

    def flush(self, seconds: float) -> None:
        """Ask the agent whether all is everywhere; not in the time, but it has to be true."""
        limit = str(max(1, int(seconds)))
        command: list[str | Path] = [self.command, "flush", "--socket", self.socket(0), "--timeout", limit]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise self.complain(f"flush: exit status {done.returncode}: {(done.stdout + done.stderr).strip()}")

    def status(self, number: int) -> dict[str, Any]:
        """What the agent of a host says of itself, {} while it does not answer."""
        command: list[str | Path] = [self.command, "status", "--json", "--socket", self.socket(number)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        try:
            answer = json.loads(done.stdout)
        except ValueError:
            return {}
        return answer if isinstance(answer, dict) else {}

    def socket(self, number: int) -> Path:
        return self.trees[number].parent / "control.sock"

    def _wait_until_joined(self, number: int, deadline: float) -> None:
        others = len(self.agents) - 1
        while True:
            self._check_alive()
            status = self.status(number)
            online = [peer for peer in status.get("peers", ()) if str(peer.get("state", "")).lower() == "online"]
            if status.get("in_sync") and len(online) == others:
                return
            if time.monotonic() > deadline:
                raise self.complain(f"host{number} saw {len(online)} of {others} peers online; {status}")
            time.sleep(0.1)

    def _check_alive(self) -> None:
        for number, agent in enumerate(self.agents):
            if agent.poll() is not None:
                raise self.complain(f"the agent of host{number} ended with {agent.poll()}")
