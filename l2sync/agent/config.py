"""The configuration file: TOML in, a checked :class:`Config` out, or every fault in it at once.

Only what the file itself can tell is checked here; whether the host fits is the business of ``checks``.
"""

from __future__ import annotations

import difflib
import os
import re
import socket
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import pathspec

from .faults import ConfigError, Fault

DEFAULT_CONFIG = Path("/etc/l2sync/l2sync.toml")
DEFAULT_KEY_FILE = "/etc/l2sync/cluster.key"
DEFAULT_STATE_DIR = "/var/lib/l2sync"
DEFAULT_SOCKET = "/run/l2sync/control.sock"
DEFAULT_ETHERTYPE = 0x88B5

MAX_NAME = 255
"""Bytes in a name of a cluster or a node, as frames carry it."""
MAX_TREE_NAME = 64
"""Bytes in a tree's name: it is part of a file's name."""
MAX_INTERFACE = 15
MAX_SOCKET = 107
LEAST_RATE = 125_000
"""Bytes per second below which batches would time out."""
_TREE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


class ClusterSection(msgspec.Struct, frozen=True):
    """[cluster]: what all nodes have in common, and where this one meets them."""

    name: str
    key_file: str
    interface: str
    ethertype: Annotated[int, msgspec.Meta(ge=0x0600, le=0xFFFF)] = DEFAULT_ETHERTYPE
    destination: Literal["broadcast", "multicast"] = "broadcast"
    """Where frames for all go first; the agent leaves a way that does not work."""
    max_rate: str = ""
    """What this node sends of data at the most, as text for people; none given: whatever gets through."""


class NodeSection(msgspec.Struct, frozen=True):
    """[node]: this host; ``name`` is the host's own unless given."""

    name: str = ""
    state_dir: str = DEFAULT_STATE_DIR
    control_socket: str = DEFAULT_SOCKET
    control_group: str = ""
    """The group that may use the control socket besides root; none by default."""


class LogSection(msgspec.Struct, frozen=True):
    """[log]: how much is logged, and for whom to read."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"


class TreeSection(msgspec.Struct, frozen=True):
    """[[tree]]: one directory tree; the same name on every node is the same tree."""

    name: str
    path: str
    ignore: tuple[str, ...] = ()
    devices: bool = False
    """Whether FIFOs and device nodes are kept in sync as well."""
    cross_mounts: bool = False
    """Whether file systems that are mounted within the tree belong to it."""
    settle_ms: Annotated[int, msgspec.Meta(ge=0, le=2000)] = 50
    max_delete_percent: Annotated[int, msgspec.Meta(ge=0, le=100)] = 50
    """More of the tree than this, vanishing at once, is held back until a user decides; 100: never."""
    tombstone_days: Annotated[int, msgspec.Meta(ge=1, le=36500)] = 90
    """How long deletions are remembered; the same on every node."""
    rescan_s: Annotated[int, msgspec.Meta(ge=10)] = 3600
    """Seconds between two looks at the whole tree, which find what the kernel did not report."""
    watch: Literal["auto", "fanotify", "inotify"] = "auto"
    """How changes are heard of: of each directory (inotify), or of the whole file system (fanotify)."""
    keep_versions_days: Annotated[int, msgspec.Meta(ge=0, le=36500)] = 0
    """For how long what others change or delete is kept under .l2sync/versions; 0: not at all."""
    keep_versions_size: str = "1G"
    """How much all kept versions may take; a number of bytes, with K, M, G or T."""


class Config(msgspec.Struct, frozen=True):
    """A configuration that is right in itself."""

    file: str
    cluster: ClusterSection
    node: NodeSection
    log: LogSection
    trees: tuple[TreeSection, ...]


_Section = TypeVar("_Section", bound=msgspec.Struct)

_REMEDIES = {
    "cluster": "add a [cluster] table with name, key_file and interface",
    "cluster.name": 'give the cluster a name, such as name = "web"',
    "cluster.key_file": f'say where the key is, such as key_file = "{DEFAULT_KEY_FILE}"; l2sync keygen makes one',
    "cluster.interface": 'name an Ethernet interface, such as interface = "eth0"',
    "cluster.ethertype": "leave it out, or give a number from 0x0600 to 0xFFFF",
    "cluster.destination": "choose broadcast or multicast",
    "cluster.max_rate": 'give bits per second, 1Mbit at least, such as max_rate = "200Mbit" (kbit, Mbit or Gbit)',
    "node": "write it as a table, beginning with [node]",
    "log": "write it as a table, beginning with [log]",
    "node.name": "leave it out to use the host's name, or give one that no other host has",
    "node.state_dir": f'give an absolute path, such as state_dir = "{DEFAULT_STATE_DIR}"',
    "node.control_socket": f'give an absolute path, such as control_socket = "{DEFAULT_SOCKET}"',
    "node.control_group": 'name a group of this host, such as control_group = "adm"',
    "log.level": "choose debug, info, warning or error",
    "log.format": "choose auto, console or json",
    "tree": 'add a [[tree]] table with name and path, such as name = "www" and path = "/srv/www"',
    "tree.name": 'give the tree a name of letters, digits, "_", "-" and ".", such as name = "www"',
    "tree.path": 'give the absolute path of a directory, such as path = "/srv/www"',
    "tree.ignore": 'give a list of gitignore patterns, such as ignore = ["*.swp", "cache/"]',
    "tree.devices": "write devices = true or devices = false",
    "tree.cross_mounts": "write cross_mounts = true or cross_mounts = false",
    "tree.max_delete_percent": "give a number from 0 to 100, such as max_delete_percent = 50; 100 means no brake",
    "tree.tombstone_days": "give a number of days, at least 1, such as tombstone_days = 90",
    "tree.settle_ms": "give a number of milliseconds from 0 to 2000, such as settle_ms = 50",
    "tree.keep_versions_days": "give a whole number of days, such as keep_versions_days = 30; 0 keeps none",
    "tree.keep_versions_size": 'give bytes with K, M, G or T, such as keep_versions_size = "10G"',
    "tree.watch": 'write watch = "auto", "fanotify" or "inotify"',
    "tree.rescan_s": "give a number of seconds, at least 10, such as rescan_s = 3600",
}
_TABLES: Mapping[str, type[msgspec.Struct]] = {
    "cluster": ClusterSection,
    "node": NodeSection,
    "log": LogSection,
    "tree": TreeSection,
}


def load_config(path: Path) -> Config:
    """Read and check a configuration file. Raises ConfigError with every fault found."""
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        raise ConfigError([Fault(str(path), "", "there is no such file", "l2sync init writes one")]) from None
    except UnicodeDecodeError:
        raise ConfigError([Fault(str(path), "", "it is not UTF-8 text", "TOML files are UTF-8: convert it")]) from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError([Fault(str(path), "", reason, "make it readable for the agent's user")]) from None
    return parse_config(text, str(path))


def parse_config(text: str, file: str) -> Config:
    """Check a configuration's text; ``file`` is what faults call it. Raises ConfigError with every fault found."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([Fault(file, "", f"it is not TOML: {error}", "correct that line")]) from None
    return _Reader(file).read(document)


class _Reader:
    """Collects faults instead of stopping at the first."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._faults: list[Fault] = []

    def read(self, document: dict[str, Any]) -> Config:
        self._refuse_unknown("", document, list(_TABLES))
        cluster = self._section(ClusterSection, "cluster", document.get("cluster"))
        node = self._section(NodeSection, "node", document.get("node", {}))
        log = self._section(LogSection, "log", document.get("log", {}))
        trees = self._trees(document.get("tree"))
        if cluster is not None:
            self._check(cluster, "cluster", _cluster_faults)
        if node is not None:
            node = msgspec.structs.replace(node, name=node.name or socket.gethostname())
            self._check(node, "node", _node_faults)
        self._check_together(trees, node)
        if self._faults or cluster is None or node is None or log is None:
            raise ConfigError(self._faults)
        return Config(self._file, cluster, node, log, tuple(tree for _, tree in trees))

    def _trees(self, tables: object) -> list[tuple[str, TreeSection]]:
        if tables is None or tables == []:
            self._fault("tree", "no tree is named, so there is nothing to keep identical")
            return []
        if not isinstance(tables, list):
            self._fault("tree", "it is not a list of tables", "write [[tree]], with two brackets")
            return []
        found = []
        for number, table in enumerate(tables, 1):
            where = f"tree[{number}]"
            tree = self._section(TreeSection, where, table)
            if tree is not None:
                self._check(tree, where, _tree_faults)
                found.append((where, tree))
        return found

    def _section(self, kind: type[_Section], where: str, table: object) -> _Section | None:
        if table is None:
            self._fault(where, "the table is missing")
            return None
        if not isinstance(table, dict):
            self._fault(where, "it is not a table")
            return None
        fields = msgspec.structs.fields(kind)
        before = len(self._faults)
        self._refuse_unknown(where, table, [field.name for field in fields])
        values: dict[str, Any] = {}
        for field in fields:
            if field.name in table:
                try:
                    values[field.name] = msgspec.convert(table[field.name], field.type)
                except msgspec.ValidationError as error:
                    self._fault(f"{where}.{field.name}", _plain(str(error)))
            elif field.required:
                self._fault(f"{where}.{field.name}", "it is missing")
        return kind(**values) if len(self._faults) == before else None

    def _refuse_unknown(self, where: str, table: Mapping[str, Any], known: list[str]) -> None:
        for key in table:
            if key in known:
                continue
            near = difflib.get_close_matches(key.lower(), known, 1, 0.5)
            remedy = f'did you mean "{near[0]}"?' if near else _elsewhere(key, known)
            self._fault(f"{where}.{key}" if where else key, "this key is unknown", remedy)

    def _check(self, value: _Section, where: str, check: Callable[[_Section], Iterator[tuple[str, str]]]) -> None:
        for key, reason in check(value):
            self._fault(f"{where}.{key}", reason)

    def _check_together(self, trees: list[tuple[str, TreeSection]], node: NodeSection | None) -> None:
        state = os.path.normpath(node.state_dir) if node is not None else ""
        for position, (where, tree) in enumerate(trees):
            path = os.path.normpath(tree.path)
            for _, other in trees[:position]:
                if other.name == tree.name:
                    self._fault(f"{where}.name", f'another tree is called "{tree.name}" too', "rename one of them")
                theirs = os.path.normpath(other.path)
                if _inside(path, theirs) or _inside(theirs, path):
                    reason = f'it overlaps the tree "{other.name}" at {other.path}'
                    self._fault(f"{where}.path", reason, "name separate directories, or the upper one only")
            if state and _inside(state, path):
                reason = f"the state directory {state} is in it"
                self._fault(f"{where}.path", reason, "move node.state_dir out of the tree")

    def _fault(self, key: str, reason: str, remedy: str | None = None) -> None:
        if remedy is None:
            remedy = _REMEDIES[re.sub(r"\[\d+\]", "", key)]
        self._faults.append(Fault(self._file, key, reason, remedy))


def parse_size(text: str) -> int | None:
    """Bytes, from a number that K, M, G or T (powers of 1024) may follow; None for what is no size."""
    match = re.fullmatch(r"(\d{1,15})([KMGT]?)", text)
    return int(match[1]) << 10 * " KMGT".index(match[2] or " ") if match else None


def parse_rate(text: str) -> int | None:
    """Bytes per second, from bits per second as tc(8) writes them: a number and kbit, Mbit or Gbit (powers of 1000)."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)(k|M|G)bit", text)
    return int(float(match[1]) * 1000 ** (1 + "kMG".index(match[2])) / 8) if match else None


def _cluster_faults(cluster: ClusterSection) -> Iterator[tuple[str, str]]:
    yield from _name_faults(cluster.name)
    yield from _path_faults("key_file", cluster.key_file)
    interface = cluster.interface
    if not interface or len(interface.encode()) > MAX_INTERFACE or re.search(r"[\s/]", interface):
        yield "interface", f"{interface!r} is no name that an interface can have"
    if cluster.max_rate and (parse_rate(cluster.max_rate) or 0) < LEAST_RATE:
        yield "max_rate", f"{cluster.max_rate!r} is no rate to send at"


def _node_faults(node: NodeSection) -> Iterator[tuple[str, str]]:
    yield from _name_faults(node.name)
    yield from _path_faults("state_dir", node.state_dir)
    yield from _path_faults("control_socket", node.control_socket)
    if len(os.fsencode(node.control_socket)) > MAX_SOCKET:
        yield "control_socket", f"a socket's path has {MAX_SOCKET} bytes at the most"


def _tree_faults(tree: TreeSection) -> Iterator[tuple[str, str]]:
    if not _TREE_NAME.fullmatch(tree.name) or len(tree.name) > MAX_TREE_NAME:
        yield "name", f"{tree.name!r} is no name that a tree can have"
    yield from _path_faults("path", tree.path)
    if parse_size(tree.keep_versions_size) is None:
        yield "keep_versions_size", f"{tree.keep_versions_size!r} is no size"
    if os.path.normpath(tree.path) == "/":
        yield "path", "the whole file system cannot be a tree"
    for pattern in tree.ignore:
        try:
            pathspec.GitIgnoreSpec.from_lines([pattern])
        except ValueError as error:
            yield "ignore", f"{pattern!r} is no gitignore pattern: {error}"


def _name_faults(name: str) -> Iterator[tuple[str, str]]:
    if not name.strip():
        yield "name", "it is empty"
    elif len(name.encode()) > MAX_NAME:
        yield "name", f"it is longer than {MAX_NAME} bytes"
    elif not name.isprintable() or "/" in name:
        yield "name", f'{name!r} has a character that is not printable, or a "/"'


def _path_faults(key: str, path: str) -> Iterator[tuple[str, str]]:
    if not os.path.isabs(path) or "\0" in path:
        yield key, f"{path!r} is not an absolute path"


def _inside(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def _elsewhere(key: str, known: list[str]) -> str:
    """The remedy for a key that resembles none in its own table."""
    homes = [table for table, kind in _TABLES.items() if key in kind.__struct_fields__]
    if homes:
        return f"it belongs into the table [{homes[0]}]"
    return f"remove it; the keys known here are {', '.join(known)}"


def _plain(message: str) -> str:
    """msgspec's complaint, in the middle of a sentence."""
    message = message.replace("`", "")
    return message[:1].lower() + message[1:]
