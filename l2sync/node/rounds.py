"""The order of a commit: conflict copies stand, durably, before what they are copies of is replaced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from l2sync.modtree import Kind, Target, TreePath, ancestors

from .api import Committed
from .plan import Plan


@dataclass(slots=True)
class Rounds:
    """What is left to commit of one batch, a round after the other, and what has come of it so far.

    A target whose conflict copies could not be made is not made true either: its version would claim to have seen
    what would then stand nowhere.
    """

    waiting: list[list[Target]]
    spares: Mapping[TreePath, frozenset[TreePath]]
    """The conflict copies that must stand before a path may be replaced."""
    changed: set[TreePath] = field(default_factory=set)
    failed: dict[TreePath, str] = field(default_factory=dict)
    lacking: set[TreePath] = field(default_factory=set)
    """Targets of earlier rounds that have not been made true."""
    applied: int = 0
    doing: tuple[Target, ...] = ()

    @classmethod
    def of(cls, plan: Plan) -> Rounds:
        """Cut a plan into rounds: one, where there is no conflict."""
        targets = plan.as_targets()
        by_path = {target.entry.path: target for target in targets}
        spares = {path: frozenset(copies & by_path.keys()) for path, copies in plan.spares.items() if path in by_path}
        copies = frozenset().union(*spares.values())
        above = {a for copy in copies for a in ancestors(copy) if a in by_path and by_path[a].entry.kind is Kind.DIR}

        @cache
        def height(path: TreePath) -> int:
            before = spares.get(path, frozenset()) | above.intersection(ancestors(path))
            return 1 + max(map(height, before), default=-1)

        early = copies | above
        last = 1 + max(map(height, early), default=-1)
        rounds: list[list[Target]] = [[] for _ in range(last + 1)]
        for target in targets:
            path = target.entry.path
            rounds[height(path) if path in early else last].append(target)
        return cls(rounds, spares)

    def next(self) -> tuple[Target, ...]:
        """The targets of the next round, without those that lack a copy."""
        doing = list[Target]()
        for target in self.waiting.pop(0):
            path = target.entry.path
            missing = self.spares.get(path, frozenset()) & self.lacking
            if missing:
                self.lacking.add(path)
                reasons = (self.failed[copy] for copy in missing if copy in self.failed)
                why = next(reasons, "something else stands there")
                self.failed[path] = f"its conflict copy cannot be kept: {why}"
            else:
                doing.append(target)
        self.doing = tuple(doing)
        return self.doing

    def done(self, event: Committed) -> None:
        """Take what became of a round."""
        made = {entry.path for entry in event.applied}
        self.applied += len(made)
        self.lacking.update(target.entry.path for target in self.doing if target.entry.path not in made)
        self.changed.update(event.changed)
        self.failed.update(event.failed)
