"""What is synchronised: files made from a seed, and what a receiver must show to have them."""

from __future__ import annotations

import os
import stat
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

MIB = 1 << 20
_BLOCK = 4 * MIB
_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Strictness:
    """What of a tree a tool claims to keep; by no more is it judged. `own`: what it puts into the tree itself."""

    attributes: bool = True
    """Modes, owners and times of files; ACLs and extended attributes."""
    folder_times: bool = True
    """Times of folders, and of links."""
    fractions: bool = True
    """Times to the nanosecond, not to the second only."""
    own: tuple[str, ...] = (".l2sync",)

    @property
    def note(self) -> str:
        """What is not asked for, "" if everything is."""
        if not self.attributes:
            return "contents only"
        missing = [] if self.folder_times else ["times of folders"]
        missing += [] if self.fractions else ["fractions of seconds"]
        return f"but {', '.join(missing)}" if missing else ""


STRICT = Strictness()


@dataclass(frozen=True, slots=True)
class Mark:
    """What tells that a path has arrived; content is compared later, outside of the time."""

    path: str
    kind: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, root: Path, path: str) -> Mark | None:
        try:
            found = os.lstat(root / path)
        except OSError:
            return None
        kind = stat.S_IFMT(found.st_mode)
        size = 0 if kind == stat.S_IFDIR else found.st_size
        # Of a link's time rsync takes the seconds only, so the wait asks for none; the judgement comes after it.
        return cls(path, kind, size, 0 if kind == stat.S_IFLNK else found.st_mtime_ns)

    def shown_by(self, root: Path) -> bool:
        """Whether the path looks so below this root; time 0 stands for any, one without fraction for its second."""
        there = Mark.of(root, self.path)
        return there is not None and (there == self or replace(there, mtime_ns=_rounded(there, self.mtime_ns)) == self)


def make_big(root: Path, size: int, seed: int) -> int:
    """One file of incompressible bytes; its size."""
    random = Random(seed)
    root.mkdir(parents=True)
    with open(root / "big.bin", "wb") as file:
        for start in range(0, size, _BLOCK):
            file.write(random.randbytes(min(_BLOCK, size - start)))
    return size


def make_parts(root: Path, size: int, part: int, seed: int) -> int:
    """A directory `old` of incompressible files of `part` bytes, in folders of sixteen; bytes in all."""
    random = Random(seed)
    for number in range(max(1, size // part)):
        folder = root / "old" / f"folder{number // 16:03}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"part{number:05}.bin").write_bytes(random.randbytes(part))
    return max(1, size // part) * part


def make_entries(root: Path, entries: int) -> None:
    """So many files and folders, a hundred short files in each folder, a hundred folders in each of those above."""
    made = 0
    while made < entries:
        number = made // 101
        folder = root / f"part{number // 100:03}" / f"folder{number:05}"
        made += 1 + (not folder.parent.exists())
        folder.mkdir(parents=True)
        for place in range(min(100, entries - made)):
            (folder / f"file{place:02}").write_bytes(b"%d/%d" % (number, place) * 8)
            made += 1


def make_tree(root: Path, files: int, folders: int, mean: int, seed: int) -> int:
    """Small files of incompressible bytes, every fiftieth a link, in folders two deep; bytes in all.

    Sizes are log-normal, as in real trees: many tiny files, a few large ones.
    """
    random = Random(seed)
    top = max(1, folders // 100)
    places = [root / f"part{number % top:02}" / f"folder{number:04}" for number in range(folders - top)]
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
    total = 0
    for number in range(files):
        path = places[number % len(places)] / f"file{number:06}.dat"
        if number % 50 == 49:
            path.symlink_to(f"file{number - len(places):06}.dat")
            continue
        size = min(MIB, int(mean * random.lognormvariate(-0.5, 1.0)))
        path.write_bytes(random.randbytes(size))
        total += size
    return total


def rewrite(root: Path, count: int, seed: int) -> tuple[list[str], int]:
    """Give `count` files new bytes of the same size, in place; their paths, and bytes in all."""
    random = Random(seed)
    candidates = sorted(path for path in root.rglob("*.dat") if not path.is_symlink())
    chosen = random.sample(candidates, min(count, len(candidates)))
    total = 0
    for path in chosen:
        size = path.stat().st_size
        path.write_bytes(random.randbytes(size))
        total += size
    return [str(path.relative_to(root)) for path in chosen], total


def marks(root: Path, paths: Iterable[str] | None = None, strictness: Strictness = STRICT) -> list[Mark]:
    """The marks of these paths, or of all below the root, folders last: their times are set last."""
    if paths is None:
        found = [str(path.relative_to(root)) for path in root.rglob("*")]
        found = [path for path in found if path.split("/", 1)[0] not in strictness.own]
    else:
        found = list(paths)
    taken = [mark for path in found if (mark := Mark.of(root, path)) is not None]
    taken = [replace(mark, mtime_ns=_asked(mark, strictness)) for mark in taken]
    return sorted(taken, key=lambda mark: (mark.kind == stat.S_IFDIR, mark.path))


def _asked(mark: Mark, strictness: Strictness) -> int:
    """What of its time is asked for."""
    if not strictness.attributes or (mark.kind == stat.S_IFDIR and not strictness.folder_times):
        return 0
    return mark.mtime_ns if strictness.fractions else mark.mtime_ns // _SECOND * _SECOND


def _rounded(mark: Mark, wanted: int) -> int:
    if wanted % _SECOND:
        return mark.mtime_ns
    return mark.mtime_ns // _SECOND * _SECOND if wanted else 0


def wait_for(wanted: list[Mark], roots: Iterable[Path], deadline: float, pause: float = 0.01) -> None:
    """Return when every root shows every mark. Raises TimeoutError, which names the first one missing.

    Each root is looked at from its first missing mark on, so that waiting costs next to no processor time.
    """
    for root in roots:
        for mark in wanted:
            while not mark.shown_by(root):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{root}: there is {Mark.of(root, mark.path)}, not yet {mark}")
                time.sleep(pause)


def difference(one: Path, other: Path, strictness: Strictness = STRICT) -> list[str]:
    """What rsync would still have to do to make the other tree like the one; nothing: they are equal.

    Contents are compared by checksum; owners, modes, times, links, ACLs and attributes too, as far as asked for.
    """
    kept = ["-aHAX"] if strictness.attributes else ["-rl"]
    if not strictness.folder_times:
        kept += ["--omit-dir-times", "--omit-link-times"]
    if not strictness.fractions:
        kept.append("--modify-window=1")
    own = [f"--exclude=/{name}" for name in strictness.own]
    command = ["rsync", *kept, "-nc", "--delete", "--itemize-changes", *own]
    done = subprocess.run([*command, f"{one}/", f"{other}/"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()
