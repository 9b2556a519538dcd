"""How commands end, and how they complain."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from l2sync.agent.config import DEFAULT_SOCKET

FAILED = 1
NO_AGENT = 2
TIMEOUT = 3
USAGE = 64

_Function = TypeVar("_Function", bound=Callable[..., Any])


def complain(text: str) -> None:
    """One message on stderr."""
    print(f"l2sync: {text}", file=sys.stderr)


def socket_option(function: _Function) -> _Function:
    """Where the agent is asked."""
    return click.option(
        "--socket",
        "path",
        type=click.Path(path_type=Path),
        default=Path(DEFAULT_SOCKET),
        show_default=True,
        envvar="L2SYNC_SOCKET",
        help="The agent's control socket.",
    )(function)
