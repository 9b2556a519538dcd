"""One state directory admits one agent."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from .faults import ConfigError, Fault

_LOCK = "lock"


@contextlib.contextmanager
def only_agent(state_dir: Path, config: str) -> Iterator[None]:
    """Hold the state directory (made if missing) for this process. Raises ConfigError while another has it."""
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(state_dir / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        fault = Fault(
            config, "node.state_dir", f"{state_dir}: {error.strerror}", "name a directory that can be written"
        )
        raise ConfigError([fault]) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            reason = f"{state_dir} is in use by another agent (process {owner})"
            raise ConfigError(
                [Fault(config, "node.state_dir", reason, "end that agent, or name another one")]
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
