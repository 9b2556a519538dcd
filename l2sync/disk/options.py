"""What an administrator may say of a tree on this host."""

from __future__ import annotations

from dataclasses import dataclass

MS = 1_000_000


@dataclass(frozen=True, slots=True)
class TreeOptions:
    """What an administrator may say of a tree; times in ns."""

    ignore: tuple[str, ...] = ()
    """Patterns in gitignore's language, besides those in the tree's own ``.l2syncignore``."""
    devices: bool = False
    """Whether FIFOs and device nodes are kept in sync as well."""
    cross_mounts: bool = False
    """Whether file systems that are mounted within the tree belong to it."""
    settle_ns: int = 50 * MS
    settle_most_ns: int = 2000 * MS
    keep_versions_ns: int = 0
    """For how long what others replace is kept; 0: not at all."""
    keep_versions_bytes: int = 1 << 30
