"""What is not looked at: the agent's own directory, and what the patterns of the tree and its options name."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from pathspec import GitIgnoreSpec

from l2sync.modtree import PRIVATE, TreePath

from .beneath import Beneath
from .chunker import READ

FILE = b".l2syncignore"
"""Patterns in gitignore's language, in the tree's root; itself kept in sync like any file."""
_LONGEST = 1 << 20


class Ignore:
    """The patterns in force. They bear on what is seen, not on what other nodes send."""

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        self._fixed = tuple(patterns)
        self._text: bytes | None = None
        self._spec: GitIgnoreSpec | None = None
        self._lines: list[str] = []
        self._configured = 0
        self.private: frozenset[TreePath] = frozenset()
        """The agent's directories in file systems that are mounted within the tree."""
        self._compile(b"")

    def refresh(self, beneath: Beneath) -> bool:
        """Read the tree's own patterns again; True when they have changed. Unreadable ones stay as they were."""
        try:
            text = _read(beneath)
        except OSError:
            return False
        if text == self._text:
            return False
        first = self._text is None
        self._text = text
        self._compile(text)
        return not first

    def __call__(self, path: TreePath, directory: bool) -> bool:
        """Whether this path is not looked at; the directories above it are for the caller to ask."""
        if path == PRIVATE or path.startswith(PRIVATE + b"/"):
            return True
        if self.private and path in self.private:
            return True
        if self._spec is None:
            return False
        text = path.decode("utf-8", "surrogateescape")
        return bool(self._spec.match_file(text + "/" if directory else text))

    def why(self, path: TreePath, directory: bool) -> str | None:
        """The pattern by which a path, or a directory above it, is not looked at, and where it stands; else None."""
        parts = path.split(b"/")
        for count in range(1, len(parts) + 1):
            place = TreePath(b"/".join(parts[:count]))
            below = directory or count < len(parts)
            if self(place, below):
                return self._pattern(place, below)
        return None

    def _pattern(self, path: TreePath, directory: bool) -> str:
        spec = self._spec
        if spec is None or path == PRIVATE or path in self.private:
            return "the agent's own directory"
        text = path.decode("utf-8", "surrogateescape")
        number = spec.check_file(text + "/" if directory else text).index or 0
        where = "the configuration" if number < self._configured else os.fsdecode(FILE)
        return f"{self._lines[number]} in {where}"

    def any_above(self, path: TreePath) -> bool:
        """Whether one of the directories above is not looked at."""
        at = path.find(b"/")
        while at >= 0:
            if self(TreePath(path[:at]), True):
                return True
            at = path.find(b"/", at + 1)
        return False

    def _compile(self, text: bytes) -> None:
        fixed = _patterns(self._fixed)
        lines = fixed + _patterns(text.decode("utf-8", "surrogateescape").splitlines())
        self._lines, self._configured = lines, len(fixed)
        self._spec = GitIgnoreSpec.from_lines(lines) if lines else None


class IgnoredDirectories:
    """Whether a directory is not looked at, for whoever watches directories, and hears when that changes."""

    def __init__(self, ignore: Ignore) -> None:
        self._ignore = ignore
        self._listeners: list[Callable[[], None]] = []

    def __call__(self, path: TreePath) -> bool:
        """Whether it, or one above it, is ignored."""
        return self._ignore(path, True) or self._ignore.any_above(path)

    def listen(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` when the patterns have changed, in whatever thread notices it."""
        self._listeners.append(listener)

    def unlisten(self, listener: Callable[[], None]) -> None:
        """Call it no more."""
        self._listeners.remove(listener)

    def changed(self) -> None:
        """The patterns have changed."""
        for listener in list(self._listeners):
            listener()


def _patterns(lines: Iterable[str]) -> list[str]:
    return [line for line in lines if line.strip() and not line.startswith("#")]


def _read(beneath: Beneath) -> bytes:
    try:
        fd = beneath.open(FILE, READ)
    except FileNotFoundError:
        return b""
    try:
        return os.read(fd, _LONGEST)
    finally:
        os.close(fd)
