"""The command: what it is called with, and how it ends.

Exit codes: 0 done; 1 failed, or not in sync; 2 no agent; 3 time-out; 64 wrong usage. `lock` ends as its command does,
or, where it does not come to that, as timeout(1) and env(1) do: 124 time-out, 125 failed, 126 cannot be run, 127 not found.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from l2sync import __version__
from l2sync.agent.client import NoAgent, RequestFailed
from l2sync.agent.config import DEFAULT_CONFIG
from l2sync.agent.faults import ConfigError

from . import asking, locking, setting_up, showing
from .exits import FAILED, NO_AGENT, TIMEOUT, USAGE, complain


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="l2sync")
def cli() -> None:
    """Keep directory trees identical on all hosts of an Ethernet segment."""


@cli.command()
@click.option("--config", "file", type=click.Path(path_type=Path), default=DEFAULT_CONFIG, show_default=True)
def run(file: Path) -> None:
    """Run the agent in the foreground; SIGTERM ends it, SIGHUP reloads the configuration."""
    # Only here: the other commands start much faster without the agent's machinery.
    from l2sync.agent.service import run_agent

    run_agent(file)


@cli.command()
@click.option("--nodes", type=click.IntRange(2, 64), default=4, show_default=True, help="How many hosts.")
@click.option("--tree", type=click.Path(exists=True, file_okay=False, path_type=Path), default=None)
@click.option("--keep", is_flag=True, help="Leave everything running, to look around.")
def demo(nodes: int, tree: Path | None, keep: bool) -> None:
    """Show it all on this machine: agents in network namespaces, edits, a crash, a return, a proof. Needs root."""
    from .demo import show

    sys.exit(show(nodes, tree, keep))


for command in (
    setting_up.keygen,
    setting_up.init,
    setting_up.check,
    showing.status,
    asking.flush,
    asking.rescan,
    asking.conflicts,
    locking.lock,
):
    cli.add_command(command)


def main() -> None:
    """Run the command line; every failure ends in a line on stderr and a stable code."""
    sys.exit(_run())


def _run() -> int:
    try:
        code = cli.main(standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.UsageError as error:
        error.show()
        return USAGE
    except click.ClickException as error:
        error.show()
        return FAILED
    except (KeyboardInterrupt, click.Abort):
        return 130
    except ConfigError as error:
        for fault in error.faults:
            complain(str(fault))
        return FAILED
    except NoAgent as error:
        complain(str(error))
        return NO_AGENT
    except RequestFailed as error:
        complain(str(error))
        return TIMEOUT if error.code == "timeout" else FAILED
    except BrokenPipeError:
        # Whoever read our output has enough; the interpreter must not complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return FAILED
    except Exception as error:
        if os.environ.get("L2SYNC_DEBUG"):
            raise
        told = error
        while isinstance(told, BaseExceptionGroup) and told.exceptions:
            told = told.exceptions[0]  # type: ignore[assignment]
        complain(f"{type(told).__name__}: {told} (L2SYNC_DEBUG=1 shows where)")
        return FAILED
