"""Whether directory trees are equal, found out without any help of the agents."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
from pathlib import Path

PRIVATE = ".l2sync"
"""What an agent keeps at a tree's root; no part of the tree."""


def tree_digest(root: Path) -> str:
    """SHA-256 over every path with its kind, mode, owner, time and content. Raises OSError."""
    digest = hashlib.sha256()
    _add(digest, os.fsencode(root), b".", top=True)
    return digest.hexdigest()


def rsync_differences(one: Path, other: Path) -> list[str] | None:
    """What rsync would have to change, looking at contents and all attributes; None where rsync is missing.

    Raises OSError when rsync itself fails.
    """
    if shutil.which("rsync") is None:
        return None
    command = ["rsync", "-aHAXnc", "--delete", "--itemize-changes", f"--exclude=/{PRIVATE}", f"{one}/", f"{other}/"]
    done = subprocess.run(command, capture_output=True, text=True, errors="backslashreplace", check=False)
    if done.returncode != 0:
        raise OSError(f"rsync: {done.stderr.strip()}")
    return done.stdout.splitlines()


def _add(digest: hashlib._Hash, path: bytes, name: bytes, top: bool = False) -> None:
    status = os.lstat(path)
    size = 0 if stat.S_ISDIR(status.st_mode) else status.st_size
    fields = (status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, size)
    digest.update(b"%d:%b%b" % (len(name), name, repr(fields).encode()))
    if stat.S_ISLNK(status.st_mode):
        digest.update(os.readlink(path))
    elif stat.S_ISREG(status.st_mode):
        with open(path, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    elif stat.S_ISDIR(status.st_mode):
        children = sorted(os.listdir(path))
        if top and PRIVATE.encode() in children:
            children.remove(PRIVATE.encode())
        digest.update(b"%d" % len(children))
        for child in children:
            _add(digest, os.path.join(path, child), child)
