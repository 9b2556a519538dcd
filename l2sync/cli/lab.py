"""A segment of virtual hosts on this machine: network namespaces, joined by a bridge. Needs root.

Everything, the bridge too, lives in namespaces of its own, named `l2s-PID-N-…`: nothing of the machine's
network is touched, parallel labs do not meet, and removing the namespaces removes all of it. A lab is a
context manager, and cleans up on failures and signals; what a killed process left is removed by `sweep`.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

INTERFACE = "eth0"
"""What each host calls its interface."""

_NAMESPACES = Path("/run/netns")
_KEPT = Path("/run/l2sync-labs")
_NAME = re.compile(r"(l2s-(\d+)-\d+)-\w+")
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_CLONE_NEWNET = 0x40000000
_PATIENCE = 5.0
_numbers = itertools.count(1)


class LabError(Exception):
    """The lab cannot be built or changed; the text says what was tried and what came of it."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes and frames of one host's port since it was made, as the bridge counts them."""

    sent: int
    received: int
    frames_sent: int
    frames_received: int


@dataclass(slots=True)
class Host:
    """One host of the lab: a namespace with one interface."""

    lab: Lab = field(repr=False)
    number: int
    namespace: str
    address: str | None
    """IPv4, where the lab was asked for addresses; l2sync itself needs none."""
    interface: str = INTERFACE

    @property
    def port(self) -> str:
        """The bridge's end of this host's cable."""
        return f"p{self.number}"

    def popen(self, command: Sequence[str | os.PathLike[str]], **options: Any) -> subprocess.Popen[Any]:
        """Start a command inside, with its own process id and session; the lab ends it if nobody else does."""
        options.setdefault("start_new_session", True)
        process = subprocess.Popen(["ip", "netns", "exec", self.namespace, *command], **options)
        self.lab.processes.append(process)
        return process

    def run(self, command: Sequence[str | os.PathLike[str]], **options: Any) -> subprocess.CompletedProcess[Any]:
        """Run a command inside and wait for it; options as for `subprocess.run`."""
        return subprocess.run(["ip", "netns", "exec", self.namespace, *command], **options)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Put the calling thread inside: sockets opened meanwhile belong to this host for good."""
        with entered(self.namespace):
            yield

    def pull_cable(self) -> None:
        """The interface loses its carrier, but stays up."""
        _ip(self.lab.bridge, f"link set {self.port} down")

    def plug_cable(self) -> None:
        """The carrier is back."""
        _ip(self.lab.bridge, f"link set {self.port} up")

    def interface_down(self) -> None:
        """Take the interface down, as an administrator would."""
        _ip(self.namespace, f"link set {self.interface} down")

    def interface_up(self) -> None:
        """Take the interface up again, with its address."""
        _ip(self.namespace, f"link set {self.interface} up")

    def remove_interface(self) -> None:
        """The interface vanishes, as a USB adapter does."""
        _ip(self.namespace, f"link del {self.interface}")

    def restore_interface(self) -> None:
        """A new interface of the same name, with a new address, on the same port."""
        self.lab.connect(self)


class Lab:
    """Hosts on one bridge.

    rate: Mbit/s of each port in each direction, 0 for as fast as the machine goes. mtu: of every interface.
    addresses: give the hosts IPv4 addresses with a broadcast address, for tools that need them.
    """

    def __init__(self, hosts: int = 0, *, rate: float = 0, mtu: int = 1500, addresses: bool = False) -> None:
        self.rate, self.mtu, self.addresses = rate, mtu, addresses
        self.name = f"l2s-{os.getpid()}-{next(_numbers)}"
        self.bridge = f"{self.name}-bridge"
        self.hosts: list[Host] = []
        self.processes: list[subprocess.Popen[Any]] = []
        self._wanted = hosts
        self._former: dict[signal.Signals, Any] = {}
        self._built = False

    def __enter__(self) -> Self:
        check_prerequisites()
        sweep()
        self._take_signals()
        try:
            self._build()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def add_host(self) -> Host:
        """One more host, connected."""
        number = len(self.hosts)
        address = f"10.77.{number // 250}.{number % 250 + 1}" if self.addresses else None
        host = Host(self, number, f"{self.name}-h{number}", address)
        _ip(None, f"netns add {host.namespace}")
        self.hosts.append(host)
        _quiet_ipv6(host.namespace)
        _ip(host.namespace, "link set lo up")
        self.connect(host)
        return host

    def connect(self, host: Host) -> None:
        """Make the cable between a host that has none and the bridge."""
        _ip(
            None,
            f"link add {host.port} netns {self.bridge} mtu {self.mtu} type veth "
            f"peer name {host.interface} netns {host.namespace} mtu {self.mtu}",
        )
        _ip(self.bridge, f"link set {host.port} master br0 up")
        commands = [f"link set {host.interface} up"]
        if host.address is not None:
            commands.append(f"addr add {host.address}/16 brd + dev {host.interface}")
        _ip(host.namespace, *commands)
        if self.rate:
            self._shape(host)

    def shape(self, rate: float) -> None:
        """Limit every port to `rate` Mbit/s in each direction; 0 lifts the limit."""
        self.rate = rate
        for host in self.hosts:
            self._shape(host)

    def set_mtu(self, mtu: int) -> None:
        """Change the MTU of every interface and of the bridge."""
        self.mtu = mtu
        for host in self.hosts:
            _ip(self.bridge, f"link set {host.port} mtu {mtu}")
            _ip(host.namespace, f"link set {host.interface} mtu {mtu}")

    def narrow(self, host: Host, mtu: int) -> None:
        """Have the bridge pass no longer frames to one host, which does not know of it."""
        _ip(self.bridge, f"link set {host.port} mtu {mtu}")

    def lose(self, probability: float, *, to: Iterable[Host] | None = None, ethertype: int | None = None) -> None:
        """Lose each frame with this probability, for each receiver by itself; 0 ends all loss.

        `to` names the receivers (all of them by default); `ethertype` spares other protocols.
        """
        rules = ["table bridge l2s {}", "delete table bridge l2s"]  # so that deleting it cannot fail
        if probability:
            ports = ", ".join(f'"{host.port}"' for host in (self.hosts if to is None else to))
            kind = "" if ethertype is None else f"ether type {ethertype:#06x} "
            parts = round(probability * 100_000)
            chance = f"numgen random mod 100000 < {parts}" if parts < 100_000 else ""
            rules += ["table bridge l2s { chain loss {", "type filter hook forward priority 0"]
            rules += [f"oifname {{ {ports} }} {kind}{chance} drop", "}", "}"]
        _command(["ip", "netns", "exec", self.bridge, "nft", "-f", "-"], "\n".join(rules) + "\n")

    def throttle(self, broadcast: int | None = None, multicast: int | None = None) -> None:
        """Have the bridge pass only so much broadcast and multicast (kbit/s), of all hosts together.

        0: nothing, None: all. Switches call that storm control.
        """
        rules = ["table bridge l2s_storm {}", "delete table bridge l2s_storm"]
        limits = ((broadcast, "broadcast"), (multicast, "multicast"))
        over = "limit rate over {} bytes/second burst 4 kbytes drop"
        drops = [
            f"meta pkttype {kind} " + (over.format(limit * 125) if limit else "drop")
            for limit, kind in limits
            if limit is not None
        ]
        if drops:
            hook = "type filter hook prerouting priority 0"
            rules += ["table bridge l2s_storm { chain storm {", hook, *drops, "}", "}"]
        _command(["ip", "netns", "exec", self.bridge, "nft", "-f", "-"], "\n".join(rules) + "\n")

    def traffic(self) -> list[Traffic]:
        """What each host has sent and received, in the hosts' order; headers that offloading saves are not in it."""
        answer = _command(["ip", "-n", self.bridge, "-s", "-j", "link", "show", "type", "veth"])
        ports = {link["ifname"]: link["stats64"] for link in json.loads(answer)}
        return [
            Traffic(
                sent=ports[host.port]["rx"]["bytes"],
                received=ports[host.port]["tx"]["bytes"],
                frames_sent=ports[host.port]["rx"]["packets"],
                frames_received=ports[host.port]["tx"]["packets"],
            )
            for host in self.hosts
        ]

    def remove(self) -> None:
        """End what runs inside, and remove everything; once removed, does nothing. Signals wait until it is done."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            _end(self.processes)
            names = [self.bridge, *(host.namespace for host in self.hosts)] if self._built else []
            for name in names:
                _remove_namespace(name)
            self.processes.clear()
            self.hosts.clear()
            self._built = False
        finally:
            self._give_signals_back()
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def keep(self) -> None:
        """Leave everything running and in place, for looking around after the program's end.

        `sweep(kept=True)` ends it.
        """
        self._give_signals_back()
        _KEPT.mkdir(exist_ok=True)
        (_KEPT / self.name).touch()
        self.processes.clear()
        self.hosts = []
        self._built = False

    def _build(self) -> None:
        self._built = True
        _ip(None, f"netns add {self.bridge}")
        _quiet_ipv6(self.bridge)
        _ip(self.bridge, "link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0", "link set br0 up")
        for _ in range(self._wanted):
            self.add_host()

    def _shape(self, host: Host) -> None:
        for namespace, interface in ((host.namespace, host.interface), (self.bridge, host.port)):
            if not self.rate:
                subprocess.run(
                    ["tc", "-n", namespace, "qdisc", "del", "dev", interface, "root"], capture_output=True, check=False
                )
                continue
            # The bucket must hold a few ms' worth, or the timer's grain would cost rate; the queue a NIC's or switch's.
            bucket = max(16_384, 2 * self.mtu, round(self.rate * 1e6 / 8 * 0.002))
            limit = max(1 << 20, 4 * bucket)
            shape = f"tbf rate {round(self.rate * 1e6)}bit burst {bucket} limit {limit}"
            _command(["tc", "-n", namespace, "qdisc", "replace", "dev", interface, "root", *shape.split()])

    def _take_signals(self) -> None:
        # A signal must unwind the stack instead of ending the process, or the lab would stay behind.
        def unwind(number: int, frame: FrameType | None) -> None:
            raise SystemExit(128 + number)

        for number in (signal.SIGTERM, signal.SIGHUP):
            with contextlib.suppress(ValueError):  # not in the main thread: whoever is there unwinds us
                if signal.getsignal(number) is signal.SIG_DFL:
                    self._former[number] = signal.signal(number, unwind)

    def _give_signals_back(self) -> None:
        for number, former in self._former.items():
            with contextlib.suppress(ValueError):
                signal.signal(number, former)
        self._former.clear()


def check_prerequisites() -> None:
    """Raise LabError, with the remedy, when this machine or user cannot have a lab."""
    if os.geteuid() != 0:
        raise LabError("network namespaces need root: run this with sudo")
    missing = [package for tool, package in _TOOLS.items() if shutil.which(tool) is None]
    if missing:
        raise LabError(f"not installed: {', '.join(missing)} (apt install {' '.join(missing)})")


_TOOLS = {"ip": "iproute2", "tc": "iproute2"}


def sweep(kept: bool = False) -> list[str]:
    """Remove the namespaces of labs whose process is dead, with all that still runs inside; their names.

    kept: also those that were left in place on purpose.
    """
    removed = []
    for path in sorted(_NAMESPACES.glob("l2s-*")):
        match = _NAME.fullmatch(path.name)
        if match is None or Path(f"/proc/{match[2]}").exists():
            continue
        if (_KEPT / match[1]).exists() and not kept:
            continue
        _remove_namespace(path.name)
        removed.append(path.name)
    if kept and _KEPT.exists():
        for marker in _KEPT.iterdir():
            if not any(_NAMESPACES.glob(f"{marker.name}-*")):
                marker.unlink()
    return removed


@contextlib.contextmanager
def entered(namespace: str) -> Iterator[None]:
    """Put the calling thread into a named network namespace, and back."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _set_namespace(_NAMESPACES / namespace)
        try:
            yield
        finally:
            _set_namespace(home)
    finally:
        os.close(home)


def _set_namespace(where: Path | int) -> None:
    descriptor = where if isinstance(where, int) else os.open(where, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # os.setns came with Python 3.12 only.
        if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET) != 0:
            raise LabError(f"setns {where}: {os.strerror(ctypes.get_errno())}")
    finally:
        if not isinstance(where, int):
            os.close(descriptor)


def _end(processes: Sequence[subprocess.Popen[Any]]) -> None:
    running = [process for process in processes if process.poll() is None]
    for process in running:
        process.terminate()
    deadline = time.monotonic() + _PATIENCE
    for process in running:
        try:
            process.wait(max(0.01, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _remove_namespace(name: str) -> None:
    """End what is inside, then remove it: a namespace with a process in it would live on without a name."""
    if not (_NAMESPACES / name).exists():
        return
    listed = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False).stdout
    for pid in map(int, listed.split()):
        if pid != os.getpid():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def _quiet_ipv6(namespace: str) -> None:
    # Its neighbour discovery would be in every count of frames.
    with entered(namespace):
        for scope in ("all", "default"):
            with contextlib.suppress(FileNotFoundError):
                Path(f"/proc/sys/net/ipv6/conf/{scope}/disable_ipv6").write_text("1")


def _ip(namespace: str | None, *commands: str) -> None:
    where = [] if namespace is None else ["-n", namespace]
    for command in commands:
        _command(["ip", *where, *command.split()])


def _command(command: list[str], text: str | None = None) -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout
