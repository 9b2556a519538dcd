"""Tree-relative paths: a type that only validation makes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NewType

TreePath = NewType("TreePath", bytes)
"""A path beneath a tree's root: relative, no empty, ``.`` or ``..`` component; ``b""`` is the root itself."""

ROOT = TreePath(b"")
MAX_NAME = 255
MAX_PATH = 32_768
PRIVATE = b".l2sync"
"""The name at a tree's root that is the agent's own and never synced."""


_NO_NAMES = frozenset((b"", b".", b".."))


class InvalidPath(ValueError):
    """Bytes that name no place in a tree."""


def tree_path(raw: bytes) -> TreePath:
    """Validate bytes from outside. Raises InvalidPath."""
    if not raw:
        return ROOT
    if len(raw) > MAX_PATH or b"\0" in raw:
        raise InvalidPath("a path that is too long or holds a NUL")
    parts = raw.split(b"/")
    if parts[0] == PRIVATE:
        raise InvalidPath("a path into the agent's own directory")
    for part in parts:
        if len(part) > MAX_NAME or part in _NO_NAMES:
            raise InvalidPath("a path with a component that is empty, '.', '..' or too long")
    return TreePath(raw)


def parent(path: TreePath) -> TreePath:
    """The directory that a path is in; the root is its own parent."""
    return TreePath(path[: max(path.rfind(b"/"), 0)])


def name(path: TreePath) -> bytes:
    """The last component."""
    return path[path.rfind(b"/") + 1 :]


def split_path(path: TreePath) -> tuple[TreePath, bytes]:
    """`parent` and `name` at once."""
    above, _, child = path.rpartition(b"/")
    return TreePath(above), child


def child_path(directory: TreePath, child: bytes) -> TreePath:
    """The path of a directory's child whose name is known to be a good one."""
    return TreePath(directory + b"/" + child if directory else child)


def join_path(directory: TreePath, child: bytes) -> TreePath:
    """The path of a directory's child, by a name from outside. Raises InvalidPath."""
    return tree_path(child_path(directory, child))


def ancestors(path: TreePath) -> Iterator[TreePath]:
    """The directories above a path, nearest first, the root last."""
    while path:
        path = parent(path)
        yield path


def covers(above: TreePath, path: TreePath) -> bool:
    """Whether ``above`` is ``path`` or a directory above it."""
    return not above or above == path or path.startswith(above + b"/")
