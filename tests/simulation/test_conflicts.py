"""Given two changes at once, when all have heard of both, then every node ends with what docs/conflicts.md says."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conflicts import CELLS, GROUPS, PAGE, Cell, document, outcome, play
from .expected import OUTCOMES
from .expected_links import LINKED
from .linked import LINK_CHANGES, play_linked

WRITES = {"edit", "to link", "to directory", "to file", "retarget", "create", "symlink", "mkdir"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "cell", CELLS, ids=lambda cell: f"{cell.group.split()[-1].strip('`')}-{cell.first}-{cell.second}"
)
def test_every_node_ends_with_what_the_table_says_and_nothing_written_is_lost(cell: Cell) -> None:
    ends = outcome(play(cell))
    assert ends == OUTCOMES[cell.group, cell.first, cell.second]
    for who, change in (("first", cell.first), ("second", cell.second)):
        assert change not in WRITES or f": {who}" in ends or f"→ {who}" in ends


LINK_WRITES = {"edit `f` in place", "edit `g` in place", "save `f` anew"}


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second"), [(a, b) for a in LINK_CHANGES for b in LINK_CHANGES])
def test_names_of_one_file_end_as_the_table_says_and_nothing_written_is_lost(
    first: str, second: str, tmp_path: Path
) -> None:
    ends = play_linked(first, second, tmp_path)
    assert ends == LINKED[first, second]
    for who, change in (("first", first), ("second", second)):
        assert change not in LINK_WRITES or f": {who}" in ends


def test_the_page_is_what_the_table_says() -> None:
    assert PAGE.read_text() == document(), "run python -m tests.simulation.conflicts"


def test_each_pair_has_an_outcome() -> None:
    pairs = {(group, a, b) for group, changes in GROUPS.items() for a in changes for b in changes}
    assert set(OUTCOMES) == pairs
    assert set(LINKED) == {(a, b) for a in LINK_CHANGES for b in LINK_CHANGES}
