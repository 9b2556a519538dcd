"""A user with no plan: random file operations in one tree, from one seed. Run as a process of its own on each node.

`shared/` belongs to all nodes at once, so that what is done there meets what others do. `own-N/` is written by node N
alone, and what must stand there is recorded: at the end it has to be there, on every node, byte for byte.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

_NAMES = [f"f{number}" for number in range(14)]
_NAMES += ["Name", "name", ".hidden", "with space", "\u00fcml\u00e4ut", "x" * 200]
_FOLDERS = ["d0", "d1", "d2"]
_DEEPEST = 4
_MOST = 700
"""So many things in the shared part are enough: from there on, deleting comes first."""


class Fuzzer:
    """Does one operation after the other; those that cannot be done (gone, a directory, no space) count as tried."""

    def __init__(self, tree: Path, number: int, seed: str, history: Path) -> None:
        self.random = random.Random(seed)
        self.shared = tree / "shared"
        self.own = tree / f"own-{number}"
        self.number = number
        self.done = 0
        self.refused = 0
        self._history = open(history, "a", buffering=1, encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
        self._wrote = 0
        self._crowded = False
        self.written: dict[str, str | None] = {}
        """What this user left in its own part."""
        self.violations: list[str] = []
        for place in (self.shared, self.own):
            place.mkdir(exist_ok=True)
        self.written.update(standing(self.own))

    def run(self, seconds: float, pause: float) -> None:
        """Until the time is over; ``pause`` s lie between two operations in the mean."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.done % 100 == 0:
                self._crowded = sum(len(files) + len(folders) for _, folders, files in os.walk(self.shared)) > _MOST
            self.step()
            time.sleep(self.random.expovariate(1 / pause))

    def step(self) -> None:
        """One operation."""
        doings = self._removals() if self._crowded and self.random.random() < 0.7 else self._doings()
        act = self.random.choices([one for one, _ in doings], [weight for _, weight in doings])[0]
        path = self._pick()
        self._history.write(f"{time.time():.6f} {act.__name__} {path}\n")
        try:
            act(path)
        except OSError as error:
            self.refused += 1
            self._history.write(f"{time.time():.6f}   {error}\n")
        self.done += 1

    def _doings(self) -> list[tuple[Callable[[Path], None], int]]:
        return [
            (self.write, 10), (self.save, 8), (self.append, 8), (self.truncate, 3), (self.patch, 4), (self.large, 1),
            (self.rename, 8), (self.exchange, 1), (self.remove, 7), (self.remove_tree, 1), (self.folder, 3),
            (self.mode, 3), (self.owner, 2), (self.times, 2), (self.link, 2), (self.hard_link, 3), (self.attribute, 2),
            (self.become, 2), (self.private, 14), (self.hurry, 2),
        ]  # fmt: skip

    def _removals(self) -> list[tuple[Callable[[Path], None], int]]:
        return [(self.remove, 8), (self.remove_tree, 2)]

    # --- choosing ---------------------------------------------------------------------------------

    def _pick(self) -> Path:
        """A path in the shared part: mostly of the few names that everybody uses, at times something that stands."""
        place = self.shared
        for _ in range(self.random.randrange(_DEEPEST)):
            place = place / self.random.choice(_FOLDERS)
        if self.random.random() < 0.3:
            with contextlib.suppress(OSError, IndexError):
                return place / self.random.choice(sorted(os.listdir(place)))
        return place / self.random.choice(_NAMES)

    def _content(self) -> bytes:
        size = self.random.choice([0, 1, 50, 500, 5_000, 5_000, 70_000])
        self._wrote += 1
        head = f"node {self.number} write {self._wrote}\n".encode()
        return (head + self.random.randbytes(size))[: max(size, len(head))] if size else b""

    def _place(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)

    # --- operations -------------------------------------------------------------------------------

    def write(self, path: Path) -> None:
        self._place(path)
        path.write_bytes(self._content())

    def save(self, path: Path) -> None:
        """As an editor does: aside, then over the old."""
        self._place(path)
        aside = path.with_name(f".{path.name[:100]}.swp{self.number}")
        try:
            aside.write_bytes(self._content())
            os.replace(aside, path)
        except OSError:
            aside.unlink(missing_ok=True)
            raise

    def append(self, path: Path) -> None:
        self._place(path)
        with open(path, "ab") as file:
            file.write(self._content())

    def truncate(self, path: Path) -> None:
        os.truncate(path, self.random.randrange(path.stat().st_size + 100))

    def patch(self, path: Path) -> None:
        size = path.stat().st_size
        with open(path, "r+b") as file:
            for _ in range(3):
                file.seek(self.random.randrange(size + 1))
                file.write(self.random.randbytes(30))

    def large(self, path: Path) -> None:
        self._place(path)
        with open(path, "wb") as file:
            for _ in range(self.random.randrange(1, 30)):
                file.write(self.random.randbytes(100_000))
                if self.random.random() < 0.2:
                    file.seek(300_000, os.SEEK_CUR)

    def rename(self, path: Path) -> None:
        target = self._pick()
        self._place(target)
        os.rename(path, target)

    def exchange(self, path: Path) -> None:
        other, aside = self._pick(), path.with_name("aside")
        os.rename(path, aside)
        with contextlib.suppress(OSError):
            os.rename(other, path)
        os.rename(aside, other)

    def remove(self, path: Path) -> None:
        os.rmdir(path) if path.is_dir() and not path.is_symlink() else os.unlink(path)

    def remove_tree(self, path: Path) -> None:
        shutil.rmtree(path if path.is_dir() and not path.is_symlink() else path.parent / "d1")

    def folder(self, path: Path) -> None:
        path.mkdir(parents=True)

    def mode(self, path: Path) -> None:
        os.chmod(path, self.random.choice([0o644, 0o600, 0o755, 0o000, 0o4755, 0o2750, 0o444]))

    def owner(self, path: Path) -> None:
        os.chown(path, self.random.randrange(5), self.random.randrange(70_000, 70_005), follow_symlinks=False)

    def times(self, path: Path) -> None:
        at = self.random.randrange(1_000_000_000 * 10**9, 1_700_000_000 * 10**9)
        os.utime(path, ns=(at, at), follow_symlinks=False)

    def link(self, path: Path) -> None:
        self._place(path)
        os.symlink(self.random.choice(["f1", "../d0", "/etc/passwd", "nowhere", "..", "x" * 100]), path)

    def hard_link(self, path: Path) -> None:
        target = self._pick()
        self._place(target)
        os.link(path, target, follow_symlinks=False)

    def attribute(self, path: Path) -> None:
        os.setxattr(path, f"user.a{self.random.randrange(3)}", self.random.randbytes(20), follow_symlinks=False)

    def become(self, path: Path) -> None:
        """Turn into another kind."""
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
            path.write_bytes(self._content())
        else:
            path.unlink()
            (path / "d0").mkdir(parents=True)
            (path / "f1").write_bytes(self._content())

    def hurry(self, path: Path) -> None:
        """Many small things at once."""
        for number in range(40):
            (self.shared / "many").mkdir(exist_ok=True)
            (self.shared / "many" / f"m{self.random.randrange(80)}").write_bytes(b"%d %d" % (self.number, number))

    def private(self, path: Path) -> None:
        """One of the usual doings, where nobody else writes."""
        inside = self.own / path.relative_to(self.shared)
        act = self.random.choice([self.write, self.save, self.append, self.remove, self.patch, self.truncate])
        self.check(inside)
        try:
            act(inside)
        finally:
            self.written[str(inside.relative_to(self.own))] = digest(inside)

    def check(self, path: Path) -> None:
        """Nobody but this user has written there since the last time."""
        key = str(path.relative_to(self.own))
        found = digest(path)
        if found != self.written.get(key, found):
            self.violations.append(f"{path} has changed by itself: {self.written[key]} -> {found}")
            self._history.write(f"{time.time():.6f} VIOLATION {self.violations[-1]}\n")


def digest(path: Path) -> str | None:
    """Of a file's content; None where there is no file."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def standing(own: Path) -> dict[str, str | None]:
    """Digests of all that stands in a node's own part."""
    paths = [Path(place, file) for place, _, files in os.walk(own) for file in files]
    return {str(path.relative_to(own)): digest(path) for path in paths}


def main() -> None:
    tree, number, seed, seconds, pause, place = sys.argv[1:]
    fuzzer = Fuzzer(Path(tree), int(number), seed, Path(place) / "history")
    before = time.monotonic()
    fuzzer.run(float(seconds), float(pause))
    for path in fuzzer.written:
        fuzzer.check(fuzzer.own / path)
    told = {"done": fuzzer.done, "refused": fuzzer.refused, "took": time.monotonic() - before}
    told |= {"violations": fuzzer.violations, "own": {path: one for path, one in fuzzer.written.items() if one}}
    (Path(place) / "fuzzed.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main()
