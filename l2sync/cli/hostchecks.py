"""Whether this host can do what a configuration asks of it: interface, capabilities, key, directories, kernel."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from l2sync.agent.config import Config, TreeSection
from l2sync.agent.faults import ConfigError, Fault
from l2sync.agent.keyfile import read_keys
from l2sync.agent.machine import machine_fault

_NETWORK = Path("/sys/class/net")
_ETHERNET = "1"
_CAPABILITIES = {
    "CAP_CHOWN": (0, True, "files could not be given their owners"),
    "CAP_DAC_OVERRIDE": (1, True, "files of other users could not be read and written"),
    "CAP_FOWNER": (3, True, "modes and times of other users' files could not be set"),
    "CAP_FSETID": (4, False, "set-group-id bits get lost"),
    "CAP_NET_ADMIN": (12, False, "the receive buffer stays small, so that fast bursts are lost and sent again"),
    "CAP_NET_RAW": (13, True, "frames could be neither sent nor received"),
}
"""By bit number (linux/capability.h): whether the agent is useless without, and why."""
_MTU_LEAST = 576
_WATCHES_FEW = 65_536


def host_faults(config: Config) -> list[Fault]:
    """All that stands in the way here; faults that are not fatal are warnings."""
    found = [*_interface_faults(config), *_capability_faults(config), *_key_faults(config)]
    found += _place_faults(config, "node.state_dir", Path(config.node.state_dir))
    if (fault := machine_fault(Path(config.node.state_dir), config.node.name, config.file)) is not None:
        found.append(fault)
    found += _place_faults(config, "node.control_socket", Path(config.node.control_socket).parent)
    for number, tree in enumerate(config.trees, 1):
        found += _tree_faults(config, f"tree[{number}].path", tree)
    found += _watch_faults()
    return found


def ethernet_interfaces() -> list[str]:
    """The names of this host's Ethernet interfaces."""
    if not _NETWORK.is_dir():
        return []
    return sorted(path.name for path in _NETWORK.iterdir() if _read(path / "type") == _ETHERNET)


def _interface_faults(config: Config) -> Iterator[Fault]:
    key, name = "cluster.interface", config.cluster.interface
    here = _NETWORK / name
    if not here.exists():
        others = ", ".join(ethernet_interfaces()) or "none"
        yield Fault(config.file, key, f"there is no interface {name}", f"Ethernet interfaces here: {others}")
        return
    if _read(here / "type") != _ETHERNET:
        others = ", ".join(ethernet_interfaces()) or "none"
        yield Fault(config.file, key, f"{name} is no Ethernet interface", f"Ethernet interfaces here: {others}")
        return
    if not int(_read(here / "flags") or "0", 16) & 1:
        yield Fault(config.file, key, f"{name} is down", f"ip link set {name} up", fatal=False)
    elif _read(here / "carrier") == "0":
        yield Fault(config.file, key, f"{name} has no carrier", "plug in its cable", fatal=False)
    if int(_read(here / "mtu") or "1500") < _MTU_LEAST:
        yield Fault(config.file, key, f"the MTU of {name} is below {_MTU_LEAST}", f"ip link set {name} mtu 1500")


def _capability_faults(config: Config) -> Iterator[Fault]:
    held = int(_status_field("CapEff") or "0", 16)
    for name, (bit, needed, why) in _CAPABILITIES.items():
        if not held >> bit & 1:
            remedy = "run as root, or add it to the service's CapabilityBoundingSet"
            yield Fault(f"process {os.getpid()}", name, f"this capability is missing: {why}", remedy, fatal=needed)


def _key_faults(config: Config) -> Iterator[Fault]:
    try:
        read_keys(Path(config.cluster.key_file))
    except ConfigError as error:
        yield from error.faults


def _place_faults(config: Config, key: str, directory: Path) -> Iterator[Fault]:
    """The agent makes the directory if it can; find out without making it."""
    existing = directory
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        yield Fault(config.file, key, f"{existing} is no directory", "name another place, or move that file away")
    elif not os.access(existing, os.W_OK | os.X_OK):
        yield Fault(config.file, key, f"{existing} cannot be written", "run as root, or name another place")


def _tree_faults(config: Config, key: str, tree: TreeSection) -> Iterator[Fault]:
    path = Path(tree.path)
    try:
        status = path.stat()
    except OSError as error:
        reason = f"{path}: {error.strerror}"
        yield Fault(config.file, key, reason, f"mkdir -p {path}, or mount what belongs there")
        return
    if not stat.S_ISDIR(status.st_mode):
        yield Fault(config.file, key, f"{path} is no directory", "name a directory")
    elif not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        yield Fault(config.file, key, f"{path} cannot be read and written", "run as root, or mount it read-write")


def _watch_faults() -> Iterator[Fault]:
    limit = Path("/proc/sys/fs/inotify/max_user_watches")
    if (text := _read(limit)) and int(text) < _WATCHES_FEW:
        reason = f"only {text} directories can be watched; beyond that, trees are looked through time and again"
        yield Fault(str(limit), "fs.inotify.max_user_watches", reason, "raise it with sysctl", fatal=False)


def _status_field(name: str) -> str:
    for line in _read(Path("/proc/self/status")).splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return value.strip()
    return ""


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
