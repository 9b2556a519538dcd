"""Given the model of joining, when spin tries every order of events, then all nodes settle on ids of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from .spin import check

pytestmark = pytest.mark.slow


WORLDS = {
    "frames get lost": "-DAGEING=0 -DLOSE",
    "one crashes and returns, and one is older than the others think": "-DJOINED -DCRASHES=1 -DLOSE",
}


@pytest.mark.parametrize("world", WORLDS)
def test_every_run_that_ends_ends_with_ids_that_differ_and_are_known(world: str, tmp_path: Path) -> None:
    assert check("join.pml", WORLDS[world], "", tmp_path, "-O1") == ""


def test_ids_settle_in_the_end(tmp_path: Path) -> None:
    assert check("join.pml", "-DAGEING=0 -DDEAF", "settles", tmp_path, "-O1") == ""


@pytest.mark.parametrize("fault", ["SAME_AGAIN", "NO_REFUSAL"])
def test_two_with_one_id_for_ever_are_found_where_a_fault_allows_them(fault: str, tmp_path: Path) -> None:
    assert check("join.pml", f"-DDEAF -DFAULT_{fault}", "settles", tmp_path, "-O1") == "acceptance cycle"


def test_ids_without_end_are_found_where_nobody_keeps_one(tmp_path: Path) -> None:
    assert "assertion violated (n<" in check("join.pml", "-DDEAF -DFAULT_BOTH_KEEP", "", tmp_path)
