"""One target of a commit on its way."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from l2sync.modtree import Entry, Kind, TreePath

from .index import Row


@dataclass(slots=True)
class Job:
    """One target on its way: what shall stand there, what the index says, and the file that takes the place."""

    entry: Entry
    row: Row | None
    before: Entry | None
    staged: bytes | None = None
    parts: bool = False
    """Whether it must leave the inode that it has now to other names."""
    status: os.stat_result | None = None
    """What stood there when it was found free to be replaced."""

    path: TreePath = field(init=False)
    """Where."""

    def __post_init__(self) -> None:
        self.path = self.entry.path

    @property
    def keeps_content(self) -> bool:
        """Whether only attributes change."""
        before = self.before
        if before is None or before.kind is not self.entry.kind or self.parts:
            return False
        return self.entry.kind is Kind.DIR or self.entry.same_content(before)
