"""Reaching the agent: where its socket is, and how its refusals end the command."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import click

from l2sync.agent.client import Client, NoAgent, RequestFailed
from l2sync.agent.config import DEFAULT_CONFIG, DEFAULT_SOCKET, load_config
from l2sync.agent.faults import ConfigError

from .exits import Code, Failure
from .view import printable_lines

_Command = TypeVar("_Command", bound=Callable[..., object])
_CODES = {"timeout": Code.TIMEOUT, "unknown_tree": Code.USAGE, "outside": Code.USAGE}


def socket_option(command: _Command) -> _Command:
    """Add --socket, handed on as `socket: Path | None`."""
    return click.option(
        "--socket",
        type=click.Path(path_type=Path),
        metavar="S",
        envvar="L2SYNC_SOCKET",
        help=f"The agent's control socket (default: as {DEFAULT_CONFIG} says, or {DEFAULT_SOCKET}).",
    )(command)


@contextlib.contextmanager
def agent(socket: Path | None) -> Iterator[Client]:
    """A connection to the agent; what goes wrong on it becomes a Failure with the right exit code."""
    try:
        with Client(socket or _default_socket()) as client:
            yield client
    except NoAgent as error:
        raise Failure(str(error), Code.NO_AGENT) from None
    except RequestFailed as error:
        raise Failure(printable_lines(str(error)), _CODES.get(error.code, Code.NO)) from None


def _default_socket() -> Path:
    # A configuration that is missing or wrong is no reason not to ask the agent that runs.
    try:
        return Path(load_config(DEFAULT_CONFIG).node.control_socket)
    except ConfigError:
        return Path(DEFAULT_SOCKET)
