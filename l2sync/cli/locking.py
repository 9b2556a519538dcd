"""lock: a command runs here while the whole cluster is locked out of some paths."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

import click

from l2sync.agent.client import Client, NoAgent, RequestFailed
from l2sync.agent.protocol import LockQuery, UnlockQuery

from .exits import complain, socket_option

TIMED_OUT = 124
OURS = 125
CANNOT_RUN = 126
NOT_FOUND = 127
_PASSED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)


class _AfterDashes(click.Command):
    """Keeps what follows `--` apart: it is a command, whatever it looks like."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            place = args.index("--")
            ctx.meta["command"] = args[place + 1 :]
            args = args[:place]
        return super().parse_args(ctx, args)


@click.command(cls=_AfterDashes, options_metavar="[--wait S] [--socket S]")
@click.argument("paths", nargs=-1, required=True, metavar="PATH... -- COMMAND...")
@click.option("--wait", "seconds", type=click.FloatRange(0), help="Give up after so many seconds (exit status 124).")
@socket_option
@click.pass_context
def lock(ctx: click.Context, paths: tuple[str, ...], seconds: float | None, path: Path) -> None:
    """Run a command while the whole cluster is locked out of the paths; ends with the command's exit status.

    A directory's lock covers all below it. 124: not locked in time; 125: l2sync itself failed.
    """
    command = ctx.meta.get("command")
    if not command:
        raise click.UsageError("a command must follow, after --", ctx)
    sys.exit(_hold(path, [_absolute(one) for one in paths], seconds, command))


def _hold(path: Path, paths: list[bytes], seconds: float | None, command: list[str]) -> int:
    try:
        with Client(path) as client:
            client.request(LockQuery(tuple(paths), seconds))
            code = _run(command)
            try:
                client.request(UnlockQuery())
            except (NoAgent, RequestFailed) as error:
                # Nobody else could have known: the command may not have been alone at its end.
                complain(f"the lock was lost while the command ran: {error}")
                return code or OURS
            return code
    except RequestFailed as error:
        complain(f"not locked: {error}")
        return TIMED_OUT if error.code == "timeout" else OURS
    except NoAgent as error:
        complain(str(error))
        return OURS


def _run(command: list[str]) -> int:
    """The command's exit status as a shell tells it; signals that we get are its own business."""
    try:
        process = subprocess.Popen(command)
    except FileNotFoundError:
        complain(f"{command[0]}: there is no such command")
        return NOT_FOUND
    except OSError as error:
        complain(f"{command[0]}: {error.strerror}")
        return CANNOT_RUN

    def pass_on(number: int, frame: FrameType | None) -> None:
        # The terminal's own signals have reached the command already.
        if number in (signal.SIGTERM, signal.SIGHUP):
            process.send_signal(number)

    former = {number: signal.signal(number, pass_on) for number in _PASSED_ON}
    try:
        code = process.wait()
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
    return 128 - code if code < 0 else code


def _absolute(path: str) -> bytes:
    return os.path.abspath(os.fsencode(path))
