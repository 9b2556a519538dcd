"""The commands before the agent runs: keygen, init, check."""

from __future__ import annotations

import os
import socket as host
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from l2sync.agent.config import DEFAULT_CONFIG, DEFAULT_KEY_FILE, Config, load_config, parse_config
from l2sync.agent.faults import ConfigError, Fault
from l2sync.agent.keyfile import add_key, drop_key, read_keys, use_key, write_key

from .exits import Code, Failure
from .hostchecks import ethernet_interfaces, host_faults
from .template import configuration_text

_FILE = click.Path(path_type=Path, dir_okay=False)
_KEY_ID = click.IntRange(0, 255)


@click.command()
@click.option("--add", is_flag=True, help="Add a key to the file, not in use yet.")
@click.option("--use", type=_KEY_ID, metavar="ID", help="Put this key of the file into use.")
@click.option("--drop", type=_KEY_ID, metavar="ID", help="Take this key, not in use any more, out of the file.")
@click.argument("file", type=_FILE)
def keygen(file: Path, add: bool, use: int | None, drop: int | None) -> None:
    """Write a new cluster key to FILE, readable by its owner only; never overwrites.

    Make one key for the whole cluster and copy it to every host.

    A running cluster gets another key in three steps, without a moment's loss: --add, --use, --drop; after each, copy
    the file to every host and run `l2sync reload` there, and begin the next when all hosts have done that.
    """
    if add + (use is not None) + (drop is not None) > 1:
        raise click.UsageError("--add, --use and --drop are a step each")
    spread = "copy the file to every host of the cluster, over a safe way (scp -p), then l2sync reload on each"
    try:
        if add:
            click.echo(f"{file}: key {add_key(file)} is added, not in use yet; {spread}")
        elif use is not None:
            use_key(file, use)
            click.echo(f"{file}: key {use} is the one in use; {spread}")
        elif drop is not None:
            drop_key(file, drop)
            click.echo(f"{file}: key {drop} is gone; {spread}")
        else:
            _make_key(file)
            click.echo(f"{file}: a new key; copy it to every host of the cluster, over a safe way (scp -p)")
    except ConfigError as error:
        raise Failure(str(error), Code.CONFIG) from None
    except OSError as error:
        raise Failure(f"{file}: {error.strerror or error}") from None


@click.command()
@click.option("--config", type=_FILE, default=DEFAULT_CONFIG, show_default=True, help="Where to write it.")
@click.option("--key-file", type=_FILE, default=Path(DEFAULT_KEY_FILE), show_default=True, help="Made unless there.")
@click.option("--cluster", metavar="NAME", help="The cluster's name, the same on every host.")
@click.option("--interface", metavar="IF", help="The Ethernet interface that all hosts share.")
@click.option("--node", metavar="NAME", help="This host's name in the cluster (default: the host's name).")
@click.option("--tree", "trees", multiple=True, metavar="NAME=PATH", help="A tree to keep identical; repeatable.")
def init(
    config: Path, key_file: Path, cluster: str | None, interface: str | None, node: str | None, trees: Sequence[str]
) -> None:
    """Write a commented configuration, and a key if there is none; say what comes next.

    Asks for what no option gives.
    """
    if config.exists():
        raise Failure(f"{config} exists; edit it, or name another file with --config")
    config, key_file = config.absolute(), key_file.absolute()
    cluster = cluster or _ask("--cluster", "Name of the cluster, the same on every host", "cluster")
    interface = interface or _ask_interface()
    named = [_split_tree(tree) for tree in trees] or [_ask_tree()]
    text = configuration_text(cluster, str(key_file), interface, node, named)
    try:
        parse_config(text, str(config))
    except ConfigError as error:
        raise Failure(f"this cannot be:\n{error}", Code.CONFIG) from None
    made = _provide_key(key_file)
    _write(config, text)
    _tell_next(config, key_file, made, cluster, named)


@click.command()
@click.option("--config", type=_FILE, default=DEFAULT_CONFIG, show_default=True, metavar="F")
def check(config: Path) -> None:
    """Check configuration, key, interface, capabilities and trees; name every fault and its remedy."""
    checked = checked_config(config)
    names = ", ".join(tree.name for tree in checked.trees)
    click.echo(f"{config}: cluster {checked.cluster.name} on {checked.cluster.interface}, trees {names}: no faults")


def checked_config(file: Path) -> Config:
    """A configuration that this host can run; warnings go to standard error. Raises Failure with every fault."""
    try:
        config = load_config(file)
    except ConfigError as error:
        raise _faulty(error.faults) from None
    faults = host_faults(config)
    for fault in faults:
        if not fault.fatal:
            click.echo(f"warning: {fault}", err=True)
    fatal = [fault for fault in faults if fault.fatal]
    if fatal:
        raise _faulty(fatal)
    return config


def _faulty(faults: Sequence[Fault]) -> Failure:
    count = "one fault" if len(faults) == 1 else f"{len(faults)} faults"
    return Failure("\n".join([f"{count}:", *(f"  {fault}" for fault in faults)]), Code.NO)


def _make_key(file: Path) -> None:
    try:
        write_key(file)
    except FileExistsError:
        raise Failure(f"{file} exists and is not overwritten: whoever has the old key would be shut out") from None
    except OSError as error:
        raise Failure(f"{file}: {error.strerror}") from None


def _provide_key(file: Path) -> bool:
    """Make a key unless there is one; whether one was made."""
    if file.exists():
        try:
            read_keys(file)
        except ConfigError as error:
            raise Failure(str(error), Code.CONFIG) from None
        return False
    try:
        file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError as error:
        raise Failure(f"{file.parent}: {error.strerror}") from None
    _make_key(file)
    return True


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        with open(file, "x", encoding="utf-8") as output:
            output.write(text)
    except OSError as error:
        raise Failure(f"{file}: {error.strerror}") from None


def _ask(option: str, question: str, default: str | None, check: Callable[[str], str] = str) -> str:
    if not sys.stdin.isatty():
        raise click.UsageError(f"{option} is needed where nobody can be asked")
    answer: str = click.prompt(question, default=default, value_proc=check, err=True)
    return answer


def _ask_interface() -> str:
    here = [name for name in ethernet_interfaces() if not name.startswith(("veth", "docker", "br-", "virbr"))]
    known = f" ({', '.join(here)})" if here else ""
    return _ask("--interface", f"Ethernet interface that all hosts share{known}", here[0] if here else None)


def _ask_tree() -> tuple[str, str]:
    path = _ask("--tree", "Directory to keep identical", None, os.path.abspath)
    return _ask("--tree", "Its name, the same on every host", os.path.basename(path) or "tree"), path


def _split_tree(text: str) -> tuple[str, str]:
    name, found, path = text.partition("=")
    if not found or not name or not path:
        raise click.UsageError(f"--tree {text}: write NAME=PATH, such as www=/srv/www")
    return name, os.path.abspath(path)


def _tell_next(config: Path, key_file: Path, made: bool, cluster: str, trees: Sequence[tuple[str, str]]) -> None:
    flags = " ".join(f"--tree {name}={path}" for name, path in trees)
    extra = "" if config == DEFAULT_CONFIG else f" --config {config}"
    extra += "" if key_file == Path(DEFAULT_KEY_FILE) else f" --key-file {key_file}"
    runs = "systemctl enable --now l2sync" if config == DEFAULT_CONFIG else f"l2sync run --config {config}"
    checks = "l2sync check" + ("" if config == DEFAULT_CONFIG else f" --config {config}")
    click.echo(f"wrote {config}")
    click.echo(f"wrote {key_file}" if made else f"kept {key_file}")
    click.echo(f"""
On this host:
    {checks}
    {runs}

On the second host, and on each further one:
    install -d {key_file.parent}
    scp -p root@{host.gethostname()}:{key_file} {key_file}
    l2sync init --cluster {cluster} {flags}{extra}
    {checks}
    {runs}

Then, on any of them: l2sync status""")
