"""The configuration file: what may stand in it, and every fault of it at once.

Each key is converted by itself, so that one wrong value does not hide the next.
"""

from __future__ import annotations

import difflib
import re
import socket
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_type_hints

import msgspec

from l2sync.frames import ETHERTYPE

from .faults import Fault, Unusable

DEFAULT_CONFIG = Path("/etc/l2sync/l2sync.toml")
DEFAULT_KEY = Path("/etc/l2sync/cluster.key")
DEFAULT_STATE = Path("/var/lib/l2sync")
DEFAULT_SOCKET = Path("/run/l2sync/control.sock")

_TREE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_INTERFACE = re.compile(r"[^\s/:]{1,15}")

Text = Annotated[str, msgspec.Meta(min_length=1)]


class ClusterConfig(msgspec.Struct, frozen=True):
    """Which cluster, by which key, on which interface."""

    name: Text
    interface: Text
    key_file: Text = str(DEFAULT_KEY)
    ethertype: Annotated[int, msgspec.Meta(ge=0x0600, le=0xFFFF)] = ETHERTYPE


class NodeConfig(msgspec.Struct, frozen=True):
    """This host. ``log`` is how the log is written: "auto" means JSON unless it goes to a terminal."""

    name: Text = ""
    state_dir: Text = str(DEFAULT_STATE)
    control_socket: Text = str(DEFAULT_SOCKET)
    log: Literal["auto", "console", "json"] = "auto"
    log_level: Literal["debug", "info", "warning", "error"] = "info"


class TreeConfig(msgspec.Struct, frozen=True):
    """A directory tree to be kept identical. ``rescan_s``: seconds between whole scans, 0 for none."""

    name: Text
    path: Text
    ignore: tuple[str, ...] = ()
    settle_ms: Annotated[int, msgspec.Meta(ge=0, le=60_000)] = 50
    rescan_s: Annotated[int, msgspec.Meta(ge=0)] = 3600


class Config(msgspec.Struct, frozen=True):
    """All of it; ``file`` is where it was read from."""

    cluster: ClusterConfig
    node: NodeConfig
    trees: tuple[TreeConfig, ...]
    file: str = ""


_Section = TypeVar("_Section", bound=msgspec.Struct)
_SECTIONS = ("cluster", "node", "tree")


def load_config(file: Path = DEFAULT_CONFIG) -> Config:
    """Read a configuration. Raises Unusable with every fault."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise Unusable([Fault(str(file), "", "there is no such file", "make one with `l2sync init`")]) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise Unusable([Fault(str(file), "", f"cannot be read: {reason}", "mend the file or its mode")]) from error
    return parse_config(text, str(file))


def parse_config(text: str, file: str) -> Config:
    """Understand a configuration's text; ``file`` is for messages. Raises Unusable with every fault."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Unusable([Fault(file, "", f"not TOML: {error}", "correct the line named")]) from error
    return _Reader(file).read(document)


class _Reader:
    """Turns a document into a Config and gathers what is wrong on the way."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.faults: list[Fault] = []

    def read(self, document: dict[str, Any]) -> Config:
        self._refuse_unknown("", document, _SECTIONS)
        cluster = self._section("cluster", document.get("cluster", {}), ClusterConfig)
        node = self._section("node", document.get("node", {}), NodeConfig)
        trees = self._trees(document.get("tree", []))
        if node is not None and "name" not in document.get("node", {}):
            node = msgspec.structs.replace(node, name=socket.gethostname())
        if cluster is not None:
            self._check_cluster(cluster)
        if node is not None:
            self._check_node(node)
        self._check_trees(trees, cluster, node)
        if self.faults or cluster is None or node is None:
            raise Unusable(self.faults)
        return Config(cluster, node, tuple(trees.values()), self.file)

    def fault(self, key: str, reason: str, remedy: str) -> None:
        self.faults.append(Fault(self.file, key, reason, remedy))

    def _refuse_unknown(self, prefix: str, table: dict[str, Any], known: tuple[str, ...]) -> None:
        for key in table:
            if key not in known:
                near = difflib.get_close_matches(key, known, 1, 0.0)
                self.fault(prefix + key, "unknown key", f'the nearest known one is "{prefix}{near[0]}"')

    def _section(self, prefix: str, table: object, kind: type[_Section]) -> _Section | None:
        if not isinstance(table, dict):
            self.fault(prefix, "must be a table", f"begin it with a line [{prefix}]")
            return None
        self._refuse_unknown(prefix + ".", table, kind.__struct_fields__)
        hints = get_type_hints(kind, include_extras=True)
        values: dict[str, Any] = {}
        sound = True
        for field in msgspec.structs.fields(kind):
            key = f"{prefix}.{field.name}"
            if field.name in table:
                try:
                    values[field.name] = msgspec.convert(table[field.name], hints[field.name])
                except msgspec.ValidationError as error:
                    sound = False
                    self.fault(key, f"{_plain(error)}, found {table[field.name]!r}", "correct the value")
            elif field.required:
                sound = False
                self.fault(key, "is missing", f"add {field.name} = … below [{prefix}]")
        return kind(**values) if sound else None

    def _trees(self, tables: object) -> dict[str, TreeConfig]:
        """The sound ones, by the key under which faults are told."""
        if not isinstance(tables, list):
            self.fault("tree", "must be a list of tables", "begin each with a line [[tree]]")
            return {}
        if not tables:
            self.fault("tree", "no tree is named", "add a [[tree]] with name and path")
        found = {f"tree[{i}]": self._section(f"tree[{i}]", table, TreeConfig) for i, table in enumerate(tables)}
        return {key: tree for key, tree in found.items() if tree is not None}

    def _check_cluster(self, cluster: ClusterConfig) -> None:
        self._check_printable("cluster.name", cluster.name)
        self._check_absolute("cluster.key_file", cluster.key_file)
        if not _INTERFACE.fullmatch(cluster.interface):
            self.fault("cluster.interface", f"{cluster.interface!r} is no interface's name", "see `ip link`")

    def _check_node(self, node: NodeConfig) -> None:
        self._check_printable("node.name", node.name)
        self._check_absolute("node.state_dir", node.state_dir)
        self._check_absolute("node.control_socket", node.control_socket)
        if len(node.control_socket.encode()) > 107:
            self.fault("node.control_socket", "longer than a socket's path may be (107 bytes)", "take a shorter one")

    def _check_trees(
        self, trees: dict[str, TreeConfig], cluster: ClusterConfig | None, node: NodeConfig | None
    ) -> None:
        own = {} if node is None else {"node.state_dir": node.state_dir, "node.control_socket": node.control_socket}
        if cluster is not None:
            own["cluster.key_file"] = cluster.key_file
        seen: dict[str, str] = {}
        for key, tree in trees.items():
            if not _TREE_NAME.fullmatch(tree.name):
                remedy = "letters, digits, '.', '_' and '-', at most 64, the first no '.' or '-'"
                self.fault(f"{key}.name", f"{tree.name!r} is no tree's name", remedy)
            self._check_absolute(f"{key}.path", tree.path)
            if tree.name in seen:
                self.fault(f"{key}.name", f"{tree.name!r} is also the name of {seen[tree.name]}", "name it otherwise")
            seen.setdefault(tree.name, key)
            for other_key, other in trees.items():
                if other_key != key and (_within(tree.path, other.path) and not (key < other_key)):
                    self.fault(f"{key}.path", f"lies within {other_key}.path ({other.path})", "trees must not overlap")
            for own_key, place in own.items():
                if _within(place, tree.path):
                    self.fault(own_key, f"lies within {key}.path ({tree.path})", "keep it outside of every tree")

    def _check_absolute(self, key: str, path: str) -> None:
        if not path.startswith("/") or "\0" in path:
            self.fault(key, f"{path!r} is no absolute path", "begin it with /")

    def _check_printable(self, key: str, name: str) -> None:
        if not printable_name(name):
            self.fault(key, f"{name!r} is no name", "1 to 255 bytes of printable text")


def printable_name(name: str) -> bool:
    """Whether frames can carry this as a node's name."""
    return name.isprintable() and 1 <= len(name.encode()) <= 255


def _within(path: str, directory: str) -> bool:
    return Path(path).is_relative_to(Path(directory))


def _plain(error: msgspec.ValidationError) -> str:
    """msgspec's text without its place, which we tell ourselves."""
    text = str(error).partition(" - at ")[0]
    return text[:1].lower() + text[1:]
