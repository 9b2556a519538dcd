"""The agents of a demonstration: each in its own virtual host, with its own tree, key, state and log."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from l2sync.agent.client import Client, NoAgent, RequestFailed
from l2sync.agent.protocol import FlushQuery, StatusQuery

from .exits import Failure
from .lab import Host, Lab
from .template import configuration_text
from .view import StatusView, TreeView

POLL_S = 0.1
TREE = "demo"


@dataclass(slots=True)
class DemoNode:
    """One agent. ``folder`` holds all that belongs to it."""

    name: str
    host: Host
    folder: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def tree(self) -> Path:
        return self.folder / "tree"

    @property
    def socket(self) -> Path:
        return self.folder / "control.sock"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def prepare(self, key: Path) -> None:
        """Make its tree's directory and its configuration."""
        self.folder.mkdir()
        self.tree.mkdir(exist_ok=True)
        text = configuration_text("demo", str(key), self.host.interface, self.name, [(TREE, str(self.tree))])
        own = f'name = "{self.name}"\nstate_dir = "{self.folder / "state"}"\ncontrol_socket = "{self.socket}"'
        (self.folder / "l2sync.toml").write_text(text.replace(f'name = "{self.name}"', own, 1))

    def start(self) -> None:
        """Start the agent; its log goes to a file."""
        command = [sys.executable, "-m", "l2sync.cli", "run", "--config", str(self.folder / "l2sync.toml")]
        with open(self.log, "ab") as log:
            self.process = self.host.popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def kill(self) -> None:
        """SIGKILL: no goodbye, nothing is finished."""
        if self.process is not None:
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def status(self) -> StatusView | None:
        """What its agent says; None while it says nothing."""
        if self.process is None:
            return None
        if self.process.poll() is not None:
            raise Failure(f"the agent of {self.name} ended by itself; the end of its log:\n{self.log_end()}")
        try:
            with Client(self.socket) as client:
                return client.ask(StatusQuery(), StatusView)
        except (NoAgent, RequestFailed):
            return None

    def flush(self, seconds: float) -> None:
        """Return when all that is on its disk is on every online node. Raises Failure."""
        try:
            with Client(self.socket) as client:
                client.request(FlushQuery(TREE, seconds))
        except (NoAgent, RequestFailed) as error:
            raise Failure(f"{self.name}: {error}") from None

    def log_end(self) -> str:
        """The last lines of its log."""
        try:
            return "\n".join(self.log.read_text(errors="backslashreplace").splitlines()[-15:])
        except OSError as error:
            return str(error)


class Snapshot:
    """What the running agents said at one time."""

    def __init__(self, nodes: Sequence[DemoNode]) -> None:
        self.seen = {node.name: node.status() for node in nodes}
        self._running = [node.name for node in nodes if node.process is not None]

    def tree(self, name: str) -> TreeView | None:
        status = self.seen[name]
        return status.trees[0] if status is not None and status.trees else None

    @property
    def agreed(self) -> bool:
        """Every running agent sees every other, is in sync, and has the same digest."""
        digests = set()
        for name in self._running:
            status, tree = self.seen[name], self.tree(name)
            if status is None or tree is None or not status.in_sync or tree.pending:
                return False
            if sum(peer.state == "online" for peer in status.peers) != len(self._running) - 1:
                return False
            digests.add(tree.root_digest)
        return len(digests) == 1


def build_nodes(lab: Lab, folder: Path, key: Path) -> list[DemoNode]:
    """A node for each host of the lab, not started."""
    nodes = [DemoNode(f"node{host.number + 1}", host, folder / f"node{host.number + 1}") for host in lab.hosts]
    for node in nodes:
        node.prepare(key)
    return nodes


def wait_until_agreed(
    nodes: Sequence[DemoNode],
    seconds: float,
    watched: Callable[[Snapshot], None],
    also: Callable[[Snapshot], bool] = lambda snapshot: True,
) -> None:
    """Poll until the running agents agree and ``also`` holds; ``watched`` sees each snapshot. Raises Failure."""
    deadline = time.monotonic() + seconds
    while True:
        snapshot = Snapshot(nodes)
        watched(snapshot)
        if snapshot.agreed and also(snapshot):
            return
        if time.monotonic() > deadline:
            lines = [f"not in sync after {seconds:.0f} s:"]
            for name, status in snapshot.seen.items():
                lines.append(f"  {name}: {status.verdict if status is not None else 'does not answer'}")
            raise Failure("\n".join(lines))
        time.sleep(POLL_S)
