"""The `l2sync` command."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import click

from l2sync import __version__

from .exits import Code, Failure

_COMMANDS = {
    "keygen": "setup",
    "init": "setup",
    "check": "setup",
    "run": "running",
    "status": "asking",
    "why": "why",
    "versions": "versions",
    "restore": "versions",
    "approve": "deciding",
    "flush": "asking",
    "lock": "locking",
    "rescan": "asking",
    "conflicts": "asking",
    "ban": "banning",
    "unban": "banning",
    "reload": "banning",
    "demo": "demo",
}
"""Each command and its module, which is imported when it is wanted: `status` need not load what `run` does."""


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f".{_COMMANDS[cmd_name]}", __package__), cmd_name)
        return command


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
        error.show()
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


if __name__ == "__main__":
    main()
