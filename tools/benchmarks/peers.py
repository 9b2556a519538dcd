"""The tools that are compared: how each is set up on the lab's hosts, and how it is made to transfer."""

from __future__ import annotations

import os
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.meters import Metered
from benchmarks.trees import Mark
from l2sync.cli.lab import Host, Lab

SENDER, RECEIVER = "sender", "receiver"


class Unable(Exception):
    """The peer cannot run here, or failed; the text says why."""


class Peer(ABC):
    """One tool on all hosts: host 0 has the data, the others are to get it."""

    name: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()
    scenarios: ClassVar[frozenset[str]]

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab, self.folder = lab, folder
        self.trees = [folder / f"host{host.number}" / "tree" for host in lab.hosts]
        for tree in self.trees:
            tree.mkdir(parents=True)
        self.metered: list[Metered] = []

    @property
    def source(self) -> Path:
        return self.trees[0]

    def launch(self, host: Host, command: Sequence[str | os.PathLike[str]], **options: Any) -> Metered:
        """Start a command on a host, its output to a log beside its tree."""
        role = SENDER if host.number == 0 else RECEIVER
        with open(self.log(host), "ab") as log:
            options = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, **options}
            metered = Metered(host.popen(command, **options), role)
        self.metered.append(metered)
        return metered

    def log(self, host: Host) -> Path:
        return self.folder / f"host{host.number}" / "log"

    def complain(self, what: str) -> Unable:
        """An error with the end of each log, where there is one."""
        lines = [f"{self.name}: {what}"]
        for host in self.lab.hosts:
            if self.log(host).exists():
                lines += [f"  host{host.number}: {line}" for line in self.log(host).read_text().splitlines()[-3:]]
        return Unable("\n".join(lines))

    def start(self, deadline: float) -> None:  # noqa: B027 - not all have something to do
        """Set up what runs all the time."""

    def prepare(self) -> None:  # noqa: B027
        """Set up what one transfer needs; not in its time."""

    @abstractmethod
    def transfer(self, wanted: list[Mark], deadline: float) -> None:
        """Return when all hosts have what the source has. Raises Unable, TimeoutError."""

    def conclude(self) -> None:  # noqa: B027
        """After a transfer's time: end what `prepare` set up."""

    def stop(self) -> None:
        for metered in self.metered:
            metered.stop()

    def must_succeed(self, metered: Sequence[Metered], deadline: float) -> None:
        """Wait for all of them to end well."""
        for one in metered:
            if one.wait(deadline) != 0:
                raise self.complain(f"exit status {one.process.returncode}")


class Rsync(Peer):
    """A daemon on each receiver, and the sender copying to all of them at once."""

    name = "rsync"
    needs = ("rsync",)
    scenarios = frozenset({"big", "tree", "edits"})

    def prepare(self) -> None:
        self.daemons = []
        for host, tree in zip(self.lab.hosts[1:], self.trees[1:], strict=True):
            configuration = tree.parent / "rsyncd.conf"
            configuration.write_text(
                "use chroot = no\nmunge symlinks = no\nreverse lookup = no\nuid = root\ngid = root\n"
                f"pid file = {tree.parent / 'rsyncd.pid'}\n[tree]\npath = {tree}\nread only = no\n"
            )
            (tree.parent / "rsyncd.pid").unlink(missing_ok=True)
            self.daemons.append(self.launch(host, ["rsync", "--daemon", "--no-detach", f"--config={configuration}"]))
        for tree in self.trees[1:]:
            _wait_for_file(tree.parent / "rsyncd.pid")
        time.sleep(0.2)  # from writing its pid to listening

    def transfer(self, wanted: list[Mark], deadline: float) -> None:
        sender = self.lab.hosts[0]
        command = ["rsync", "-aHAX", "--delete", f"{self.source}/"]
        copies = [self.launch(sender, [*command, f"rsync://{host.address}/tree/"]) for host in self.lab.hosts[1:]]
        self.must_succeed(copies, deadline)

    def conclude(self) -> None:
        for daemon in self.daemons:
            daemon.stop()


class Udpcast(Peer):
    """One sender to all receivers by broadcast; trees go as a tar stream."""

    name = "udpcast"
    needs = ("udp-sender", "udp-receiver", "tar")
    scenarios = frozenset({"big", "tree"})

    def prepare(self) -> None:
        receive = "udp-receiver --interface eth0 --nokbd --no-progress --ttl 1 2>/dev/null"
        self.receivers = []
        for host, tree in zip(self.lab.hosts[1:], self.trees[1:], strict=True):
            script = f"set -o pipefail; {receive} | tar -C '{tree}' -xpf - --numeric-owner"
            self.receivers.append(self.launch(host, ["bash", "-c", script]))
        time.sleep(0.5)  # they say hello at once, and the sender asks for more hellos

    def transfer(self, wanted: list[Mark], deadline: float) -> None:
        receivers = len(self.lab.hosts) - 1
        # No bit rate is set: the sender's queue holds it back, as it does the others.
        send = f"udp-sender --interface eth0 --nokbd --no-progress --full-duplex --min-receivers {receivers}"
        send += f" --broadcast --blocksize {self.lab.mtu - 44} 2>/dev/null"  # IP, UDP and its own headers
        script = f"set -o pipefail; tar -C '{self.source}' --format=posix -cf - . | {send}"
        sender = self.launch(self.lab.hosts[0], ["bash", "-c", script])
        self.must_succeed([sender, *self.receivers], deadline)


def _wait_for_file(path: Path, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not path.exists():
        if time.monotonic() > deadline:
            raise Unable(f"{path} did not appear")
        time.sleep(0.01)
