"""Given the model of locks, when spin tries every order of events, then what is promised of locks holds in each."""

from __future__ import annotations

from pathlib import Path

import pytest

from .spin import check

pytestmark = pytest.mark.slow

WORLDS = {
    "three want one path": "",
    "one drops another and frames get lost": "-DCLAIMERS=3 -DDROPS=1 -DLOSE",
    "two halves meet": "-DCLAIMERS=3 -DAPART=1",
    "one crashes and returns": "-DCLAIMERS=3 -DCRASHES=1",
}


@pytest.mark.parametrize("world", WORLDS)
def test_no_two_that_see_each_other_hold_one_path_and_every_run_ends_with_every_claim_served(
    world: str, tmp_path: Path
) -> None:
    assert check("locks.pml", WORLDS[world], "", tmp_path, "-O1") == ""


@pytest.mark.parametrize(
    "flags", ["-DLOSE", "-DDROPS=1", "-DCLAIMERS=2 -DAPART=1 -DLOSE", "-DCLAIMERS=2 -DCRASHES=1 -DLOSE"]
)
def test_a_lock_is_granted_in_the_end(flags: str, tmp_path: Path) -> None:
    claimers = "" if "CLAIMERS" in flags else "-DCLAIMERS=3 "
    assert check("locks.pml", claimers + flags, "granted1", tmp_path) == ""


EXCLUSION = {
    "NO_TIE_BREAK": "",
    "ONE_ACK_SHORT": "",
    "STREAM_NOT_AWAITED": "",
    "EARLY_ANSWER": "",
    "NO_DOUBT": "-DDROPS=1",
    "NOT_TOLD_AGAIN": "-DDROPS=1",
    "HELD_IS_NOT_SAID": "-DAPART=1",
}


@pytest.mark.parametrize("fault", EXCLUSION)
def test_two_holders_are_found_where_a_fault_allows_them(fault: str, tmp_path: Path) -> None:
    found = check("locks.pml", f"-DCLAIMERS=3 -DFAULT_{fault} {EXCLUSION[fault]}", "", tmp_path)
    assert "assertion violated" in found and "state[" in found and "==2" in found


@pytest.mark.parametrize("fault", ["NO_ORDER", "UNLOCK_NOT_TOLD", "GONE_HOLDS"])
def test_a_deadlock_is_found_where_a_fault_makes_one(fault: str, tmp_path: Path) -> None:
    found = check("locks.pml", f"-DCLAIMERS=3 -DDROPS=1 -DFAULT_{fault}", "", tmp_path)
    assert "assertion violated" in found and "==0" in found


@pytest.mark.parametrize("fault", ["NO_ORDER", "GONE_HOLDS", "CONFIRM_IGNORED"])
def test_a_lock_that_is_never_granted_is_found_where_a_fault_makes_one(fault: str, tmp_path: Path) -> None:
    found = check("locks.pml", f"-DCLAIMERS=3 -DDROPS=1 -DFAULT_{fault}", "granted1", tmp_path)
    assert found == "acceptance cycle"
