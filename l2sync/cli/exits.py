"""The command's exit codes, the same for ever, and the errors that carry them."""

from __future__ import annotations

from enum import IntEnum

import click


class Code(IntEnum):
    """What the command's end means to a script."""

    OK = 0
    NO = 1
    """The answer is no (not in sync, faults found), or it could not be done."""
    NO_AGENT = 2
    TIMEOUT = 3
    USAGE = 64
    CONFIG = 78
    """The configuration, the key or the host does not allow it to run (EX_CONFIG: systemd does not try again)."""
    NOT_EXECUTABLE = 126
    NOT_FOUND = 127
    INTERRUPTED = 130


class Failure(click.ClickException):
    """Ends the command with a message on standard error and an exit code."""

    def __init__(self, message: str, code: Code = Code.NO) -> None:
        super().__init__(message)
        self.code = code
