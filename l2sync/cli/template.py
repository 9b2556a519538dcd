"""The configuration that `l2sync init` writes: commented, and with every key that there is."""

from __future__ import annotations

import json
from collections.abc import Iterable

from l2sync.agent.config import DEFAULT_SOCKET, DEFAULT_STATE_DIR

_HEAD = """\
# l2sync: keeps directory trees identical on all hosts of an Ethernet segment. See l2sync(1).
# l2sync check finds what is wrong in here; systemctl reload l2sync makes changes known to the agent.

[cluster]
# The same on every host; agents of other clusters on the segment are ignored.
name = {cluster}
# The same key on every host, readable by root only; l2sync keygen makes one.
key_file = {key_file}
# The Ethernet interface that the hosts share. No address is needed on it.
interface = {interface}
# The EtherType of all frames; the same on every host.
#ethertype = 0x88B5
# Where frames for all hosts go first, broadcast or multicast; the agent leaves a way that does not work.
#destination = "broadcast"
# The most that this host sends of data, such as "200Mbit"; as much as gets through unless given.
#max_rate = ""

[node]
# No two hosts may have the same name; the host's own unless given.
{node}
# What must survive a restart: versions, tombstones, ids.
#state_dir = {state_dir}
# Where status, flush and lock reach the agent.
#control_socket = {socket}
# A group that may use it besides root.
#control_group = "adm"

[log]
# debug, info, warning or error
#level = "info"
# console or json; auto suits wherever it goes to
#format = "auto"
"""

_TREE = """
[[tree]]
# The same name on every host means the same tree; its path may differ.
name = {name}
path = {path}
# What is not looked at: gitignore patterns. A file .l2syncignore in the tree may hold more.
#ignore = ["*.swp", "cache/"]
# FIFOs and device nodes are left alone unless this says true.
#devices = false
# File systems that are mounted within the tree are left alone unless this says true: then they belong to it.
#cross_mounts = false
# More of the tree than this, vanishing at once, is held back until l2sync approve or l2sync restore; 100: never.
#max_delete_percent = 50
# Days for which deletions are remembered, the same on every host; who is away for longer is asked about what it has.
#tombstone_days = 90
# Milliseconds that a file must be quiet before its change is sent.
#settle_ms = 50
# For how many days what others change or delete is kept here (l2sync versions, l2sync restore); 0: not at all.
#keep_versions_days = 0
# How much space the kept versions may take; the oldest go first.
#keep_versions_size = "1G"
# How changes are heard of: "inotify" (each directory), "fanotify" (the whole file system), or "auto", by their number.
#watch = "auto"
# Seconds between two looks at the whole tree, for what the kernel did not report.
#rescan_s = 3600
"""


def configuration_text(
    cluster: str, key_file: str, interface: str, node: str | None, trees: Iterable[tuple[str, str]]
) -> str:
    """The file's text; `trees` are names and paths."""
    head = _HEAD.format(
        cluster=_quote(cluster),
        key_file=_quote(key_file),
        interface=_quote(interface),
        node=f"name = {_quote(node)}" if node else '#name = "web1"',
        state_dir=_quote(DEFAULT_STATE_DIR),
        socket=_quote(DEFAULT_SOCKET),
    )
    return head + "".join(_TREE.format(name=_quote(name), path=_quote(path)) for name, path in trees)


def _quote(text: str) -> str:
    # Every JSON string is a TOML basic string, but for DEL, which TOML wants escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
