"""`l2sync lock`: a command that runs while the whole cluster is locked out of some paths."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import click

from l2sync.agent.client import Client, NoAgent, RequestFailed
from l2sync.agent.protocol import LockQuery, UnlockQuery

from .connection import agent, socket_option
from .exits import Code, Failure

_PR_SET_PDEATHSIG = 1
_META = "l2sync.command"


class _Splitting(click.Command):
    """What follows `--` is the command to run; click itself would mix it up with the paths."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        at = args.index("--") if "--" in args else len(args)
        ctx.meta[_META] = args[at + 1 :]
        return super().parse_args(ctx, args[:at])

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "-- COMMAND..."]


@click.command(cls=_Splitting)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=click.Path())
@click.option("--wait", type=click.FloatRange(0), metavar="S", help="Give up after S seconds (default: wait on).")
@socket_option
@click.pass_context
def lock(ctx: click.Context, paths: Sequence[str], wait: float | None, socket: Path | None) -> None:
    """Run COMMAND here while the whole cluster is locked out of each PATH.

    A directory covers all that is below it. The exit status is COMMAND's own; 3 when the lock was not to be had
    in time, 2 when no agent answers. However this ends, the lock is given up.
    """
    command = ctx.meta[_META]
    if not command:
        raise click.UsageError("name the command to run after --")
    with agent(socket) as client:
        absolute = tuple(os.path.abspath(os.fsencode(path)) for path in paths)
        client.request(LockQuery(absolute, wait))
        status = _run(command)
        _unlock(client)
    ctx.exit(status)


def _run(command: Sequence[str]) -> int:
    """The command's exit status, as a shell would give it. SIGTERM and SIGHUP are handed on to it."""
    child: subprocess.Popen[bytes] | None = None
    early: list[int] = []

    def hand_on(number: int, frame: FrameType | None) -> None:
        if child is not None:
            child.send_signal(number)
        else:
            # The command may run already though Popen has not returned: the signal must not be lost on it.
            early.append(number)

    handled: dict[signal.Signals, Any] = dict.fromkeys((signal.SIGTERM, signal.SIGHUP), hand_on)
    # A terminal's Ctrl-C reaches the command by itself; we stay to give up the lock after it.
    handled[signal.SIGINT] = lambda number, frame: None
    former = {number: signal.signal(number, handler) for number, handler in handled.items()}
    try:
        child = subprocess.Popen(command, preexec_fn=_end_with_parent)
        for number in early:
            child.send_signal(number)
        status = child.wait()
    except FileNotFoundError:
        raise Failure(f"{command[0]}: no such command", Code.NOT_FOUND) from None
    except OSError as error:
        raise Failure(f"{command[0]}: {error.strerror}", Code.NOT_EXECUTABLE) from None
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
    return status if status >= 0 else 128 - status


def _end_with_parent() -> None:
    # When we are killed, the lock is gone: the command must not go on as if it had it.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)


def _unlock(client: Client) -> None:
    try:
        client.request(UnlockQuery())
    except (NoAgent, RequestFailed) as error:
        # The command has run; its own status says how. But what it relied upon was not so to the end.
        click.echo(f"l2sync: warning: the lock was lost while the command ran: {error}", err=True)
