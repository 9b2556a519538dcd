"""The proof of equality notices whatever differs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from l2sync.cli.proof import rsync_differences, tree_digest


def build(root: Path) -> Path:
    (root / "dir").mkdir(parents=True)
    (root / "dir" / "file").write_text("content")
    (root / "link").symlink_to("dir/file")
    settle(root)
    return root


def settle(root: Path) -> None:
    for path in [*root.rglob("*"), root]:
        os.utime(path, ns=(10**18, 10**18), follow_symlinks=False)


def write(root: Path) -> None:
    (root / "dir" / "file").write_text("CONTENT")
    settle(root)


def relink(root: Path) -> None:
    (root / "link").unlink()
    (root / "link").symlink_to("dir/eile")
    settle(root)


def move(root: Path) -> None:
    (root / "dir" / "file").rename(root / "file")
    settle(root)


CHANGES: list[Callable[[Path], object]] = [
    write,
    relink,
    move,
    lambda root: (root / "dir" / "file").chmod(0o600),
    lambda root: os.utime(root / "dir", ns=(1, 10**18 + 10**9)),
    lambda root: ((root / "new").write_text(""), settle(root)),
    lambda root: ((root / "link").unlink(), settle(root)),
]


def test_equal_trees_are_equal(tmp_path: Path) -> None:
    one, other = build(tmp_path / "one"), build(tmp_path / "other")
    (other / ".l2sync").mkdir()
    settle(other)
    assert tree_digest(one) == tree_digest(other)
    assert rsync_differences(one, other) in ([], None)


@pytest.mark.parametrize("change", CHANGES)
def test_each_difference_is_found(tmp_path: Path, change: Callable[[Path], object]) -> None:
    one, other = build(tmp_path / "one"), build(tmp_path / "other")
    change(other)
    assert tree_digest(one) != tree_digest(other)
    if shutil.which("rsync"):
        assert rsync_differences(one, other)
