"""What every compared tool is to the bench: set up on the lab's hosts, made to transfer, judged, cleared away."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.meters import Metered
from benchmarks.trees import Mark, Strictness, wait_for
from l2sync.cli.lab import Host, Lab

SENDER, RECEIVER = "sender", "receiver"
COPYING = frozenset({"big", "tree", "edits", "delta", "rename", "slow", "loss", "receivers", "bare", "fair"})
"""What a tool can do that is started for each copy."""
WATCHING = COPYING | {"latency", "settle0"}
"""What a tool can do that waits for changes by itself."""


class Unable(Exception):
    """The peer cannot run here, or failed; the text says why."""


class Peer(ABC):
    """One tool on all hosts: host 0 has the data, the others are to get it.

    eager: set every delay that waits for further changes to the least that the tool allows.
    """

    name: ClassVar[str]
    needs: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Programs, and the Debian packages that have them."""
    about: ClassVar[tuple[str, ...]] = ()
    """The command whose output tells the version."""
    scenarios: ClassVar[frozenset[str]]
    strictness: ClassVar[Strictness] = Strictness()
    live: ClassVar[bool] = False
    """It transfers by itself, so that what it still tidies up after the last file is waited for."""

    def __init__(self, lab: Lab, folder: Path, eager: bool = False) -> None:
        self.lab, self.folder, self.eager = lab, folder, eager
        self.hosts = list(lab.hosts)
        self.trees = [folder / f"host{host.number}" / "tree" for host in self.hosts]
        for tree in self.trees:
            tree.mkdir(parents=True)
        self.metered: list[Metered] = []

    @classmethod
    def missing(cls) -> dict[str, str]:
        """What is not installed: programs, and the packages that have them."""
        return {tool: package for tool, package in cls.needs if find(tool) is None}

    @classmethod
    def version(cls) -> str:
        """What the tool says of itself: the first line with a digit in it."""
        if not cls.about:
            return ""
        done = subprocess.run(cls.about, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        lines = (done.stdout + done.stderr).splitlines()
        return next((line.strip() for line in lines if any(map(str.isdigit, line))), "of unknown version")

    @property
    def source(self) -> Path:
        return self.trees[0]

    @property
    def receivers(self) -> list[tuple[Host, Path]]:
        """Every host that is to get the data, with its tree."""
        return list(zip(self.hosts[1:], self.trees[1:], strict=True))

    def home(self, host: Host) -> Path:
        """A host's own folder, for whatever the tool keeps beside the tree."""
        return self.trees[host.number].parent

    def launch(self, host: Host, command: Sequence[str | os.PathLike[str]], **options: Any) -> Metered:
        """Start a command on a host, its output to a log beside its tree."""
        role = SENDER if host.number == 0 else RECEIVER
        with open(self.log(host), "ab") as log:
            options = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, **options}
            metered = Metered(host.popen(command, **options), role)
        self.metered.append(metered)
        return metered

    def log(self, host: Host) -> Path:
        return self.home(host) / "log"

    def complain(self, what: str) -> Unable:
        """An error with the end of each log, where there is one."""
        lines = [f"{self.name}: {what}"]
        for host in self.hosts:
            if self.log(host).exists():
                text = self.log(host).read_text(errors="replace")
                lines += [f"  host{host.number}: {line[:300]}" for line in text.splitlines()[-3:]]
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


class Watcher(Peer):
    """A tool that runs all the time and starts by itself when the tree changes."""

    live = True
    scenarios = WATCHING

    def transfer(self, wanted: list[Mark], deadline: float) -> None:
        try:
            wait_for(wanted, self.trees[1:], deadline)
        except TimeoutError as error:
            self.check_alive()
            raise self.complain(str(error)) from error

    def check_alive(self) -> None:
        """Raise Unable if a process that should run all the time has ended."""
        for metered in self.metered:
            if metered.poll() is not None:
                raise self.complain(f"{_name(metered)} ended with {metered.poll()}")

    def await_all(self, ready: Callable[[Host], bool], hosts: Sequence[Host], deadline: float, what: str) -> None:
        """Return when each host is ready. Raises Unable with the first that is not."""
        for host in hosts:
            while not ready(host):
                self.check_alive()
                if time.monotonic() > deadline:
                    raise self.complain(f"host{host.number}: {what} did not come in time")
                time.sleep(0.05)


def _name(metered: Metered) -> str:
    """The program, behind `ip netns exec NAMESPACE`."""
    arguments = metered.process.args
    return " ".join(map(str, arguments[4:6])) if isinstance(arguments, list) else str(arguments)


def find(tool: str) -> str | None:
    """Where a program is; also where only root looks."""
    return shutil.which(tool) or shutil.which(tool, path="/usr/sbin:/sbin")


def wait_for_port(host: Host, port: int, deadline: float, udp: bool = False) -> None:
    """Return when something on the host listens at a port. Raises Unable."""
    option = "-lun" if udp else "-ltn"
    while True:
        done = host.run(["ss", "-H", option, f"sport = :{port}"], capture_output=True, text=True, check=False)
        if done.stdout.strip():
            return
        if time.monotonic() > deadline:
            raise Unable(f"nothing listens at port {port} of host{host.number}")
        time.sleep(0.02)
