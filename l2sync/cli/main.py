"""The `l2sync` command."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Sequence

import click

from l2sync import __version__

from .exits import Code, Failure

_COMMANDS = {
    "keygen": ("setup", "make a key, or replace the cluster's key in steps"),
    "init": ("setup", "write a configuration, and a key"),
    "check": ("setup", "find what is wrong in the configuration and on this host"),
    "run": ("running", "run the agent"),
    "status": ("asking", "in sync or not, and why; peers, trees, locks"),
    "why": ("why", "what each node has at a path, and why"),
    "versions": ("versions", "list what others replaced here"),
    "restore": ("versions", "bring back a version, or what a mass deletion took"),
    "approve": ("deciding", "let what is held back go everywhere"),
    "flush": ("asking", "wait until all is on every online node"),
    "lock": ("locking", "run a command with paths locked in the whole cluster"),
    "rescan": ("asking", "look at a whole tree again"),
    "conflicts": ("asking", "list conflict copies"),
    "ban": ("banning", "put a node out of the cluster"),
    "unban": ("banning", "let it in again"),
    "reload": ("banning", "read configuration and key anew"),
    "demo": ("demo", "see it work on virtual hosts of this machine"),
}
"""Each command's module, imported when it is wanted (`status` need not load what `run` does), and what it is for."""
_KINDS = {"float range": "number", "integer range": "whole number", "float": "number", "integer": "whole number"}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f".{_COMMANDS[cmd_name][0]}", __package__), cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in _COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], _COMMANDS, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise click.UsageError(f"there is no command {args[0]!r}{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, short) for name, (_, short) in _COMMANDS.items()])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="l2sync", message="%(prog)s %(version)s")
def command() -> None:
    """Keep directory trees identical on all hosts of an Ethernet segment.

    Begin with `l2sync init`, then `l2sync check` and `l2sync run`; or see it work with `l2sync demo`.

    \b
    Exit status: 0 done, 1 no (or it failed), 2 no agent answers, 3 time-out,
    64 wrong usage, 78 the configuration or the host does not allow it.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit; never with a traceback."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    try:
        result = command.main(arguments, prog_name="l2sync", standalone_mode=False)
    except click.UsageError as error:
        _show(error)
        return Code.USAGE
    except click.ClickException as error:
        click.echo(f"l2sync: {error.format_message()}", err=True)
        return error.code if isinstance(error, Failure) else Code.NO
    except (click.Abort, KeyboardInterrupt):
        return Code.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has had enough; keep the interpreter from complaining when it flushes.
        sys.stdout = None
        return Code.OK
    return result if isinstance(result, int) else Code.OK


def _show(error: click.UsageError) -> None:
    """What is wrong, in one line, and where to read more."""
    where = error.ctx.command_path if error.ctx is not None else "l2sync"
    message = error.format_message().rstrip(".")
    for jargon, plain in _KINDS.items():
        message = message.replace(f"is not a valid {jargon}", f"is no {plain}")
    click.echo(f"{where}: {message[:1].lower()}{message[1:]}\nSee {where} --help.", err=True)


if __name__ == "__main__":
    main()
