"""An application killed before a system call, or refused one: each file is old or new, whole, and a restart converges.

A share of the calls; ``python -m tests.disk.injection`` tries every one.
"""

from __future__ import annotations

import pytest

from .injection import ERRORS, Call, calls, failed_at, killed_at

pytestmark = [pytest.mark.root, pytest.mark.slow]

CHANGING = {
    "rename", "renameat", "renameat2", "unlink", "unlinkat", "rmdir", "mkdir", "mkdirat", "link", "linkat", "symlink",
    "symlinkat", "chmod", "fchmod", "fchmodat", "chown", "fchown", "fchownat", "utimensat", "ftruncate", "fdatasync",
    "fsync", "syncfs",
}  # fmt: skip
"""Between any two of these, what a crash leaves differs; between other calls it does not."""


@pytest.fixture(scope="module")
def when_restarted() -> list[Call]:
    return calls(restarted=True)


@pytest.fixture(scope="module")
def when_running() -> list[Call]:
    return calls(restarted=False)


@pytest.mark.parametrize("share", range(4))
def test_a_kill_before_a_call_leaves_each_file_old_or_new(when_restarted: list[Call], share: int) -> None:
    changing = [call for call in when_restarted if call.name in CHANGING]
    assert len(changing) > 40
    for call in changing[share::12]:
        assert killed_at(call) == [], call


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_in_place_of_a_call_leaves_each_file_old_or_new(when_running: list[Call], error: str) -> None:
    at = ERRORS.index(error)
    changing = [call for call in when_running if call.name in CHANGING][at :: 4 * len(ERRORS)]
    others = [call for call in when_running if call.name not in CHANGING][11 * at :: 20 * len(ERRORS)]
    for call in changing + others:
        assert failed_at(call, error) == [], call
