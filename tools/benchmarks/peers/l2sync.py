"""l2sync as one of the compared tools: an agent on every host, and nobody who starts a copy."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.meters import Metered
from benchmarks.peers.base import Unable, Watcher
from benchmarks.trees import Mark
from l2sync.cli.lab import Host, Lab

_CONFIGURATION = """\
[cluster]
name = "bench"
key_file = "{key}"
interface = "eth0"
destination = "{destination}"

[node]
name = "host{number}"
state_dir = "{state}"
control_socket = "{socket}"

[[tree]]
name = "tree"
path = "{tree}"
settle_ms = {settle}
"""
_SETTLE = 50


class L2sync(Watcher):
    """Agents that run all the time; a transfer is what they do by themselves when the tree changes."""

    name = "l2sync"
    scenarios = Watcher.scenarios | {"idle", "million", "crowd", "replay", "ideal", "storm"}
    command: ClassVar[Path] = Path("l2sync")
    """The program; set from the command line."""
    destination: ClassVar[str] = "broadcast"

    @classmethod
    def version(cls) -> str:
        done = subprocess.run([cls.command, "--version"], capture_output=True, text=True, check=False)
        return done.stdout.strip() or "of unknown version"

    def __init__(self, lab: Lab, folder: Path, eager: bool = False) -> None:
        super().__init__(lab, folder, eager)
        self.agents: dict[int, Metered] = {}
        """The running agents, by their hosts' numbers."""

    def start(self, deadline: float) -> None:
        """Start all agents, and return when each sees all others online and all trees equal."""
        key = self.folder / "cluster.key"
        done = subprocess.run([self.command, "keygen", key], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Unable(f"l2sync keygen: {(done.stderr or done.stdout).strip()}")
        for host in self.hosts:
            home = self.home(host)
            (home / "state").mkdir()
            (home / "l2sync.toml").write_text(
                _CONFIGURATION.format(
                    key=key,
                    number=host.number,
                    state=home / "state",
                    socket=self.socket(host.number),
                    tree=self.trees[host.number],
                    settle=0 if self.eager else _SETTLE,
                    destination=self.destination,
                )
            )
            self.start_agent(host)
        self.await_in_sync(deadline)

    def start_agent(self, host: Host) -> None:
        """Start one host's agent, again if it was stopped."""
        self.agents[host.number] = self.launch(host, [self.command, "run", "--config", self.home(host) / "l2sync.toml"])

    def stop_agent(self, host: Host) -> None:
        """End one host's agent in order, as systemd would."""
        agent = self.agents.pop(host.number)
        agent.stop(60.0)
        self.metered.remove(agent)

    def transfer(self, wanted: list[Mark], deadline: float) -> None:
        try:
            super().transfer(wanted, deadline)
        except Unable as error:
            raise Unable(f"{error}\n  in sync: {self.status(0).get('in_sync')}") from error

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

    def await_in_sync(self, deadline: float, pause: float = 0.1) -> None:
        """Return when every agent that runs sees all others online and itself in sync. Raises Unable."""
        others = len(self.agents) - 1
        for number in self.agents:
            while True:
                self.check_alive()
                status = self.status(number)
                states = [str(peer.get("state", "")).lower() for peer in status.get("peers", ())]
                if status.get("in_sync") and states.count("online") == others:
                    break
                if time.monotonic() > deadline:
                    online = states.count("online")
                    raise self.complain(f"host{number}: {online} of {others} online; {status.get('reasons')}")
                time.sleep(pause)
