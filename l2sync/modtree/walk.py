"""Through a tree in order, a part at a time: nothing is held of it between one part and the next."""

from __future__ import annotations

from .paths import ROOT, TreePath, child_path
from .tree import ModTree


def steps(path: TreePath) -> list[bytes]:
    """What paths are ordered by here: a directory comes right before all that is in it."""
    return path.split(b"/") if path else []


def paths_after(tree: ModTree, last: TreePath, most: int) -> list[TreePath]:
    """The next so many paths after this one that have an entry; fewer where the tree ends."""
    found, place = list[TreePath](), ROOT
    waiting: list[tuple[TreePath, list[bytes]]] = []
    """Directories on the way down, and which of their children are still to be visited, the first one last."""
    for step in steps(last):
        waiting.append((place, sorted((name for name in tree.children(place) if name > step), reverse=True)))
        place = child_path(place, step)
    waiting.append((place, sorted(tree.children(place), reverse=True)))
    while waiting and len(found) < most:
        directory, names = waiting[-1]
        if not names:
            waiting.pop()
            continue
        path = child_path(directory, names.pop())
        if path in tree:
            found.append(path)
        waiting.append((path, sorted(tree.children(path), reverse=True)))
    return found
