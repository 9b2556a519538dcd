"""Which id which node had: kept across restarts, so that nodes get their old ids back."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

FILE_NAME = "nodes.json"


def load_registry(state_dir: Path) -> dict[str, int]:
    """Node names and their ids; empty when there is none or it cannot be read (the peers remember, too)."""
    try:
        return msgspec.json.decode((state_dir / FILE_NAME).read_bytes(), type=dict[str, int])
    except (OSError, msgspec.DecodeError):
        return {}


def save_registry(state_dir: Path, registry: Mapping[str, int]) -> None:
    """Replace the registry, durably: a crash leaves the old one or the new one. Raises OSError."""
    target = state_dir / FILE_NAME
    aside = target.with_suffix(".new")
    with open(aside, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(dict(registry))) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, target)
    directory = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
