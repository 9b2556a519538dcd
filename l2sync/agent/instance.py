"""What the agent keeps in its state directory besides the trees' indexes: the lock of the one agent, and the registry."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from .faults import Fault, Unusable

_LOCK = "lock"
_REGISTRY = "registry.json"


@contextlib.contextmanager
def only_agent(state_dir: Path, config: str) -> Iterator[None]:
    """Hold the state directory (made if missing) for this process. Raises Unusable while another has it."""
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(state_dir / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        fault = Fault(
            config, "node.state_dir", f"{state_dir}: {error.strerror}", "name a directory that can be written"
        )
        raise Unusable([fault]) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            reason = f"{state_dir} is in use by another agent (process {owner})"
            raise Unusable([Fault(config, "node.state_dir", reason, "end that agent, or name another one")]) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def load_registry(state_dir: Path) -> dict[str, int]:
    """Node names and ids remembered from before; empty where nothing usable is kept."""
    try:
        return msgspec.json.decode((state_dir / _REGISTRY).read_bytes(), type=dict[str, int])
    except (FileNotFoundError, msgspec.DecodeError):
        # Peers remember it too: what is lost here is told again.
        return {}


def save_registry(state_dir: Path, registry: Mapping[str, int]) -> None:
    """Keep the registry; whole or not at all, also through a power failure. Raises OSError."""
    fresh = state_dir / (_REGISTRY + ".new")
    with fresh.open("wb") as out:
        out.write(msgspec.json.format(msgspec.json.encode(dict(registry))) + b"\n")
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(state_dir / _REGISTRY)
    directory = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
