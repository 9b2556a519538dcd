"""keygen, init and check: from nothing to a configuration that an agent can run with."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

import click

from l2sync.agent.checks import check_host
from l2sync.agent.config import DEFAULT_CONFIG, DEFAULT_KEY_FILE, DEFAULT_SOCKET, DEFAULT_STATE_DIR, parse_config
from l2sync.agent.keyfile import write_key

from .exits import FAILED, complain

_TEMPLATE = """\
# l2sync: keeps directory trees identical on all hosts of an Ethernet segment.
# `l2sync check` tells what is wrong with this file, `systemctl reload l2sync` takes up changes.

[cluster]
# Agents of other clusters on the segment are ignored.
name = {cluster}
# The same file on every host of the cluster, readable by root only.
key_file = {key}
interface = {interface}
# The protocol's number on the wire; all hosts must agree.
#ethertype = 0x88B5

[node]
# No two hosts may have the same name. Default: the host's own.
{node_mark}name = {node}
state_dir = {state}
control_socket = {control}
# Who may use the control socket besides root.
#control_group = "adm"

[log]
#level = "info"        # debug, info, warning or error
#format = "auto"       # console, json, or auto: json unless it goes to a terminal

# The same name on every host is the same tree; a host may have some of them only.
[[tree]]
name = {tree}
path = {path}
# gitignore rules; a file .l2syncignore in the tree is read, too.
ignore = []
# How long a file must be left alone before its change is sent.
#settle_ms = 50
# Seconds between two looks at the whole tree, for what the kernel did not report.
#rescan_s = 3600
"""


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
def keygen(file: Path) -> None:
    """Make a new key file, mode 0600. Never overwrites."""
    _make_key(file)
    print(f"{file}: a new key; copy it to every host of the cluster over a safe way")


@click.command()
@click.option("--cluster", help="The cluster's name.")
@click.option("--interface", help="The Ethernet interface.")
@click.option("--tree", help="The tree's name, the same on every host.")
@click.option("--path", type=click.Path(), help="The tree's directory on this host.")
@click.option("--node", help="This host's name in the cluster. [default: the host's own]")
@click.option("--config", "file", type=click.Path(path_type=Path), default=DEFAULT_CONFIG, show_default=True)
@click.option("--key-file", type=click.Path(path_type=Path), default=Path(DEFAULT_KEY_FILE), show_default=True)
@click.option("--state-dir", default=DEFAULT_STATE_DIR, show_default=True)
@click.option("--control-socket", default=DEFAULT_SOCKET, show_default=True)
@click.option("-y", "--yes", is_flag=True, help="Ask nothing: take the defaults for what is not given.")
def init(
    cluster: str | None,
    interface: str | None,
    tree: str | None,
    path: str | None,
    node: str | None,
    file: Path,
    key_file: Path,
    state_dir: str,
    control_socket: str,
    yes: bool,
) -> None:
    """Write a commented configuration, and a key unless there is one; asks for what no option says."""
    file, key_file = file.absolute(), key_file.absolute()
    if file.exists():
        raise click.ClickException(f"{file} exists already; it is not overwritten")
    cluster = cluster or _ask("Name of the cluster", "lan", yes)
    interface = interface or _ask(
        f"Ethernet interface ({', '.join(_interfaces())})", (_interfaces() or ["eth0"])[0], yes
    )
    path = path or _ask("Directory to be kept identical", "/srv/l2sync", yes)
    path = os.path.abspath(path)
    tree = tree or _ask("Name of the tree", os.path.basename(path) or "root", yes)
    text = _TEMPLATE.format(
        cluster=_quote(cluster),
        key=_quote(str(key_file)),
        interface=_quote(interface),
        node_mark="" if node else "#",
        node=_quote(node or socket.gethostname()),
        state=_quote(os.path.abspath(state_dir)),
        control=_quote(os.path.abspath(control_socket)),
        tree=_quote(tree),
        path=_quote(path),
    )
    # What check would refuse is not written in the first place.
    parse_config(text, str(file))
    made_key = not key_file.exists()
    if made_key:
        _make_key(key_file)
    _write(file, text)
    _say_next(file, key_file, made_key, path)


@click.command()
@click.option("--config", "file", type=click.Path(path_type=Path), default=DEFAULT_CONFIG, show_default=True)
def check(file: Path) -> None:
    """Validate configuration, key, interface, capabilities and tree paths; every fault with its remedy."""
    config, faults = check_host(file.absolute())
    for fault in faults:
        complain(str(fault) if fault.fatal else f"note: {fault}")
    fatal = sum(fault.fatal for fault in faults)
    if fatal:
        complain(f"{fatal} fault{'' if fatal == 1 else 's'}: the agent cannot run like this")
        sys.exit(FAILED)
    if config is not None:
        trees = ", ".join(tree.name for tree in config.trees)
        print(f"{file}: good; cluster {config.cluster.name} on {config.cluster.interface}, trees: {trees}")


def _make_key(file: Path) -> None:
    try:
        file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        write_key(file)
    except FileExistsError:
        raise click.ClickException(f"{file} exists already; it is not overwritten") from None
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror}") from None


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        with open(file, "x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        raise click.ClickException(f"{file} exists already; it is not overwritten") from None
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror}") from None


def _ask(what: str, default: str, yes: bool) -> str:
    if yes:
        return default
    return str(click.prompt(what, default=default, err=True))


def _interfaces() -> list[str]:
    """Ethernet interfaces, those that are real hardware first."""
    place = Path("/sys/class/net")
    if not place.exists():
        return []
    names = [one.name for one in place.iterdir() if one.name != "lo" and _is_ethernet(one)]
    return sorted(names, key=lambda name: (not (place / name / "device").exists(), name))


def _is_ethernet(interface: Path) -> bool:
    try:
        return (interface / "type").read_text().strip() == "1"
    except OSError:
        return False


def _quote(text: str) -> str:
    """A TOML string: JSON's escapes are a part of TOML's."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _say_next(file: Path, key_file: Path, made_key: bool, path: str) -> None:
    key = "a new key" if made_key else "the key that was there is used"
    print(f"{file}: written\n{key_file}: {key}\n")
    print("Next, on this host:")
    if not os.path.isdir(path):
        print(f"  mkdir -p {path}")
    print(f"  l2sync check --config {file}")
    if file == DEFAULT_CONFIG:
        print("  systemctl enable --now l2sync          (or: l2sync run)")
    else:
        print(f"  l2sync run --config {file}")
    print("\nOn every other host of the segment:")
    print(f"  copy {key_file} to it, mode 0600 (scp -p {key_file} HOST:{key_file})")
    print("  l2sync init                            (same cluster, same tree name, its own interface and path)")
    print("  and start it in the same way. `l2sync status` tells when they have found each other.")
