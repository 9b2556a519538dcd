"""The structured log: readable lines for a terminal, JSON lines for a journal."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog

Style = Literal["auto", "console", "json"]


def set_up_logs(style: Style = "auto", level: str = "info") -> None:
    """Write the log to stderr from now on; may be called again to change it."""
    console = style == "console" or (style == "auto" and sys.stderr.isatty())
    processors: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=not console),
        _readable,
    ]
    if console:
        processors.append(_printable)
        processors.append(structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()))
    else:
        processors += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def _readable(logger: object, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Paths are bytes, and may be no text."""
    for key, value in event.items():
        if isinstance(value, bytes):
            event[key] = value.decode(errors="backslashreplace")
        elif isinstance(value, (list, tuple)):
            event[key] = [v.decode(errors="backslashreplace") if isinstance(v, bytes) else v for v in value]
    return event


def _printable(logger: object, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """No control character of a file's name, or of another node's words, reaches a terminal."""
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[key] = "".join(c if c.isprintable() else repr(c)[1:-1] for c in value)
    return event
