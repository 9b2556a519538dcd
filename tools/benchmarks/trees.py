"""What is synchronised: files made from a seed, and what a receiver must show to have them."""

from __future__ import annotations

import os
import stat
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random

MIB = 1 << 20
_BLOCK = 4 * MIB


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


def make_big(root: Path, size: int, seed: int) -> int:
    """One file of incompressible bytes; its size."""
    random = Random(seed)
    root.mkdir(parents=True)
    with open(root / "big.bin", "wb") as file:
        for start in range(0, size, _BLOCK):
            file.write(random.randbytes(min(_BLOCK, size - start)))
    return size


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


def marks(root: Path, paths: Iterable[str] | None = None) -> list[Mark]:
    """The marks of these paths, or of all below the root, folders last: their times are set last."""
    if paths is None:
        found = [str(path.relative_to(root)) for path in root.rglob("*") if ".l2sync" not in path.parts]
    else:
        found = list(paths)
    taken = [mark for path in found if (mark := Mark.of(root, path)) is not None]
    return sorted(taken, key=lambda mark: (mark.kind == stat.S_IFDIR, mark.path))


def wait_for(wanted: list[Mark], roots: Iterable[Path], deadline: float, pause: float = 0.01) -> None:
    """Return when every root shows every mark. Raises TimeoutError, which names the first one missing.

    Each root is looked at from its first missing mark on, so that waiting costs next to no processor time.
    """
    for root in roots:
        for mark in wanted:
            while Mark.of(root, mark.path) != mark:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{root}: there is {Mark.of(root, mark.path)}, not yet {mark}")
                time.sleep(pause)


def difference(one: Path, other: Path) -> list[str]:
    """What rsync would still have to do to make the other tree like the one; nothing: they are equal.

    Contents are compared by checksum; owners, modes, times, links, ACLs and attributes too.
    """
    command = ["rsync", "-aHAXnc", "--delete", "--itemize-changes", "--exclude=/.l2sync"]
    done = subprocess.run([*command, f"{one}/", f"{other}/"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()
