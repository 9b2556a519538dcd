"""What is remembered of other nodes across restarts: which id which had, and who is banned."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from l2sync.cluster import BanRecord

FILE_NAME = "nodes.json"
BANS_NAME = "bans.json"


def load_registry(state_dir: Path) -> dict[str, int]:
    """Node names and their ids; empty when there is none or it cannot be read (the peers remember, too)."""
    try:
        return msgspec.json.decode((state_dir / FILE_NAME).read_bytes(), type=dict[str, int])
    except (OSError, msgspec.DecodeError):
        return {}


def save_registry(state_dir: Path, registry: Mapping[str, int]) -> None:
    """Replace the registry, durably: a crash leaves the old one or the new one. Raises OSError."""
    _replace(state_dir / FILE_NAME, dict(registry))


def load_bans(state_dir: Path) -> tuple[BanRecord, ...]:
    """Who is banned. Raises OSError and msgspec.DecodeError: to forget a ban silently would let its node in again."""
    try:
        return msgspec.json.decode((state_dir / BANS_NAME).read_bytes(), type=tuple[BanRecord, ...])
    except FileNotFoundError:
        return ()


def save_bans(state_dir: Path, records: Sequence[BanRecord]) -> None:
    """Replace the list of bans, as durably. Raises OSError."""
    _replace(state_dir / BANS_NAME, records)


def _replace(target: Path, content: object) -> None:
    state_dir = target.parent
    aside = target.with_suffix(".new")
    with open(aside, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(content)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, target)
    directory = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
