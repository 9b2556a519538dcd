"""Given the model of joining, when spin tries every order of events, then all nodes settle on ids of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from .spin import check

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("flags", ["", "-DAGEING=0 -DLOSE -DCRASHES=1"])
def test_every_run_that_ends_ends_with_ids_that_differ_and_are_known(flags: str, tmp_path: Path) -> None:
    assert check("join.pml", flags, "", tmp_path) == ""


def test_ids_settle_in_the_end(tmp_path: Path) -> None:
    assert check("join.pml", "-DAGEING=0 -DLOSE", "settles", tmp_path) == ""


@pytest.mark.parametrize("fault", ["BOTH_KEEP", "SAME_AGAIN", "NO_REFUSAL"])
def test_two_with_one_id_for_ever_are_found_where_a_fault_allows_them(fault: str, tmp_path: Path) -> None:
    assert check("join.pml", f"-DFAULT_{fault}", "settles", tmp_path) == "acceptance cycle"
