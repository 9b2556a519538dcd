"""Whether this host fits the configuration: key, interface, capabilities, places on disk."""

from __future__ import annotations

import errno
import grp
import os
from collections.abc import Iterator
from pathlib import Path

from .config import Config, load_config
from .faults import ConfigError, Fault
from .keyfile import read_keys

_ARPHRD_ETHER = "1"
_SMALLEST_MTU = 576
_CAPABILITIES = {
    "CAP_NET_RAW": (13, "raw Ethernet sockets"),
    "CAP_DAC_OVERRIDE": (1, "reading and writing everybody's files"),
    "CAP_CHOWN": (0, "giving files their owners"),
    "CAP_FOWNER": (3, "setting modes and times of everybody's files"),
    "CAP_FSETID": (4, "keeping set-id bits"),
}
"""Numbers as in linux/capability.h."""
_NETWORK = Path("/sys/class/net")


def check_host(file: Path) -> tuple[Config | None, list[Fault]]:
    """Everything that is wrong with a configuration on this host; None when the file itself cannot be used."""
    try:
        config = load_config(file)
    except ConfigError as error:
        return None, list(error.faults)
    return config, list(_faults(config))


def _faults(config: Config) -> Iterator[Fault]:
    try:
        read_keys(Path(config.cluster.key_file))
    except ConfigError as error:
        yield from error.faults
    yield from _interface_faults(config)
    yield from _capability_faults(config)
    yield from _group_faults(config)
    yield from _directory_faults(config, "node.state_dir", Path(config.node.state_dir))
    yield from _directory_faults(config, "node.control_socket", Path(config.node.control_socket).parent)
    for number, tree in enumerate(config.trees, 1):
        yield from _tree_faults(config, f"tree[{number}].path", Path(tree.path))


def _interface_faults(config: Config) -> Iterator[Fault]:
    name = config.cluster.interface
    place = _NETWORK / name
    key = "cluster.interface"
    if not place.exists():
        there = ", ".join(sorted(os.listdir(_NETWORK))) if _NETWORK.exists() else "none"
        yield Fault(config.file, key, f"this host has no interface {name}", f"name one of: {there}")
        return
    kind = (place / "type").read_text().strip()
    if kind != _ARPHRD_ETHER or name == "lo":
        yield Fault(config.file, key, f"{name} is no Ethernet interface", "name one that is; see `ip link`")
        return
    mtu = int((place / "mtu").read_text())
    if mtu < _SMALLEST_MTU:
        yield Fault(config.file, key, f"{name} has an MTU of {mtu}", f"`ip link set {name} mtu 1500`")
    if not int((place / "flags").read_text(), 16) & 1:
        yield Fault(config.file, key, f"{name} is down", f"`ip link set {name} up`; the agent waits for it", False)


def _capability_faults(config: Config) -> Iterator[Fault]:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            effective = int(line.split()[1], 16)
            break
    else:
        return
    for name, (number, purpose) in _CAPABILITIES.items():
        if not effective >> number & 1:
            reason = f"{name} is missing ({purpose})"
            yield Fault(config.file, "", reason, "run as root; in a container, grant it")


def _group_faults(config: Config) -> Iterator[Fault]:
    group = config.node.control_group
    if group:
        try:
            grp.getgrnam(group)
        except KeyError:
            yield Fault(config.file, "node.control_group", f'there is no group "{group}"', "name a group of this host")


def _directory_faults(config: Config, key: str, directory: Path) -> Iterator[Fault]:
    """The agent makes its own directories; what is above must allow it."""
    present = directory
    while not present.exists() and present != present.parent:
        present = present.parent
    if not present.is_dir():
        yield Fault(config.file, key, f"{present} is no directory", "name another place")
    elif not os.access(present, os.W_OK | os.X_OK, effective_ids=True):
        yield Fault(config.file, key, f"{present} cannot be written", "run as root, or name another place")


def _tree_faults(config: Config, key: str, path: Path) -> Iterator[Fault]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        remedy = f"`mkdir -p {path}`" if error.errno == errno.ENOENT else "name a directory that root can use"
        yield Fault(config.file, key, f"{path}: {os.strerror(error.errno or 0)}", remedy)
        return
    try:
        if os.fstatvfs(descriptor).f_flag & os.ST_RDONLY:
            yield Fault(config.file, key, f"{path} is on a read-only file system", "mount it for writing")
        elif not os.access(path, os.W_OK | os.X_OK, effective_ids=True):
            yield Fault(config.file, key, f"{path} cannot be written", "run as root")
    finally:
        os.close(descriptor)
