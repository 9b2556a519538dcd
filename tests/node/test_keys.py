"""Keys that would cut somebody off are told before they are taken up."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from l2sync.frames import KnownKey, key_check
from l2sync.node.keys import objections

OLD, NEW, OTHER = b"o" * 32, b"n" * 32, b"x" * 32


def peer(*keys: tuple[int, bytes]) -> Any:
    return SimpleNamespace(name="web2", keys=tuple(KnownKey(number, key_check(key)) for number, key in keys))


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ([(1, OLD)], {1: OLD, 2: NEW}),
        ([(1, OLD), (2, NEW)], {2: NEW, 1: OLD}),
        ([(2, NEW), (1, OLD)], {1: OLD, 2: NEW}),
        ([(2, NEW), (1, OLD)], {2: NEW}),
    ],
    ids=["added", "used", "used there first", "dropped"],
)
def test_each_step_in_its_order_is_fine(theirs: list[tuple[int, bytes]], ours: dict[int, bytes]) -> None:
    assert objections([peer(*theirs)], ours, next(iter(ours))) == []


@pytest.mark.parametrize(
    ("theirs", "ours", "said"),
    [
        ([(1, OLD)], {2: NEW, 1: OLD}, "knows no key 2"),
        ([(1, OLD), (2, OTHER)], {2: NEW, 1: OLD}, "another key with the id 2"),
        ([(1, OLD), (2, NEW)], {2: NEW}, "still seals with key 1"),
        ([], {1: OLD}, "has not said yet"),
    ],
)
def test_each_step_too_early_is_refused(theirs: list[tuple[int, bytes]], ours: dict[int, bytes], said: str) -> None:
    (why,) = objections([peer(*theirs)], ours, next(iter(ours)))
    assert "web2" in why and said in why
