"""`l2sync run`: the agent in the foreground."""

from __future__ import annotations

from pathlib import Path

import click

from l2sync.agent.config import DEFAULT_CONFIG
from l2sync.agent.faults import ConfigError

from .exits import Code, Failure


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    default=DEFAULT_CONFIG,
    show_default=True,
    metavar="F",
    help="The configuration.",
)
def run(config: Path) -> None:
    """Run the agent in the foreground, until SIGTERM or Ctrl-C; SIGHUP reloads the configuration."""
    # Loaded here: no other command needs the protocol, the event loop and the database.
    from l2sync.agent.service import run_agent

    try:
        run_agent(config)
    except ConfigError as error:
        raise Failure("\n".join(map(str, error.faults)), Code.CONFIG) from None
    except OSError as error:
        raise Failure(f"the agent ended: {error}") from None
