"""How far receivers have got with a batch, as its origin keeps it."""

from __future__ import annotations

from typing import Any

from l2sync.node.outgoing import Outgoing, Progress
from l2sync.transfer import Broadcaster, chunk_table


def test_who_reports_is_waited_for_like_who_asked_and_may_be_left_behind_like_them() -> None:
    table, nothing = chunk_table([]), Any
    audience = {1: Progress.TOLD, 2: Progress.STAGED}
    batch = Outgoing((7, 1), nothing, (), table, Broadcaster(1, table, 1000), audience, 0)  # type: ignore[arg-type]
    batch.reports(1, 50)
    batch.reports(2, 50)
    assert batch.audience == {1: Progress.WANTING, 2: Progress.STAGED}
    assert batch.silent(60, 20) == [] and batch.silent(70, 20) == [1]
