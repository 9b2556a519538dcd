"""uftp: multicast to a daemon on each receiver, with the files as they are or in one tar archive."""

from __future__ import annotations

import shlex
import subprocess
import time
from pathlib import Path

from benchmarks.peers.base import Peer, wait_for_port
from benchmarks.trees import Mark, Strictness, wait_for

_PORT = 1044
_UNLIMITED = "-1"
_HEADERS = 100
"""Bytes in a frame besides the block, by its manual's advice."""


class Uftp(Peer):
    """The files as they are; it carries no modes or owners."""

    name = "uftp"
    needs = (("uftp", "uftp"), ("uftpd", "uftp"), ("ss", "iproute2"))
    about = ("dpkg-query", "-W", "uftp")
    # It copies everything each time, so what asks for a difference would only measure the same again.
    scenarios = frozenset({"big", "tree", "slow", "loss", "receivers", "bare", "fair"})
    strictness = Strictness(attributes=False, folder_times=False)

    def prepare(self) -> None:
        self.daemons = []
        for host, tree in self.receivers:
            command = ["uftpd", "-d", "-D", self.destination(tree), "-I", "eth0", "-B", "4194304", *self.extras(tree)]
            self.daemons.append(self.launch(host, command))
        for host, _ in self.receivers:
            wait_for_port(host, _PORT, time.monotonic() + 10.0, udp=True)

    def destination(self, tree: Path) -> Path:
        """The folder that the daemon writes into."""
        return tree

    def extras(self, tree: Path) -> list[str]:
        """Further options of the daemon."""
        return []

    def transfer(self, wanted: list[Mark], deadline: float) -> None:
        names = sorted(path.name for path in self.source.iterdir())
        self.send([self.source / name for name in names], self.source, deadline)
        wait_for(wanted, self.trees[1:], deadline)

    def send(self, paths: list[Path], base: Path, deadline: float) -> None:
        """Send to all daemons, and return when they say that they have it."""
        rate = str(round(self.lab.rate * 1000)) if self.lab.rate else _UNLIMITED
        members = ",".join(f"0x{_id(host.address)}" for host, _ in self.receivers)
        command = ["uftp", "-R", rate, "-b", str(self.lab.mtu - _HEADERS), "-I", "eth0", "-r", "0.1:0.02:1"]
        command += ["-H", members, "-E", f"{base}/", *map(str, paths)]
        self.must_succeed([self.launch(self.hosts[0], command)], deadline)

    def conclude(self) -> None:
        for daemon in self.daemons:
            daemon.stop()


class UftpTar(Uftp):
    """All in one archive, made before and unpacked after; both are in the time."""

    name = "uftp-tar"
    needs = (*Uftp.needs, ("tar", "tar"))
    strictness = Strictness()

    def destination(self, tree: Path) -> Path:
        place = tree.parent / "received"
        place.mkdir(exist_ok=True)
        return place

    def extras(self, tree: Path) -> list[str]:
        script = tree.parent / "unpack"
        archive = shlex.quote(str(self.destination(tree) / "all.tar"))
        target = shlex.quote(str(tree))
        script.write_text(f"#!/bin/sh\ntar -C {target} -xpf {archive} --numeric-owner && rm {archive}\n")
        script.chmod(0o755)
        return ["-s", str(script)]

    def transfer(self, wanted: list[Mark], deadline: float) -> None:
        archive = self.home(self.hosts[0]) / "all.tar"
        packing = ["tar", "-C", str(self.source), "--format=posix", "-cf", str(archive), "."]
        self.must_succeed([self.launch(self.hosts[0], packing, stderr=subprocess.STDOUT)], deadline)
        self.send([archive], archive.parent, deadline)
        wait_for(wanted, self.trees[1:], deadline)
        archive.unlink()


def _id(address: str | None) -> str:
    """By default a daemon is known by its address."""
    return "".join(f"{int(part):02X}" for part in (address or "0.0.0.0").split("."))
