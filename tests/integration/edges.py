"""A tree of everything that a file system takes, to its edges; and a judge that goes where no path reaches."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

from blake3 import blake3

SECOND = 1_000_000_000
ENTRIES = 5_000
LEVEL = "d" * 200
LEVELS = 30
"""Directories of 200 letters within each other: 6,000 bytes, where the kernel takes 4,095 at once."""
BIG = 5 << 30
_NAMES = [b"\xff\xfe", b"new\nline", b"\n", b" ", b"-rf", b"x" * 255, b"tab\t\x01\x7f", b"*?[a]", b"\\", b"...", b"~"]
_TIMES = [-1, 0, -2_000_000_000 * SECOND - 5, (1 << 32) * SECOND + 123_456_789, 13_569_465_600 * SECOND + 999_999_999]


def fill(root: Path) -> None:
    """Make all of it but what is deep and what is large."""
    _names(root / "names")
    _modes(root / "modes")
    _kinds(root / "kinds")
    (root / "times").mkdir()
    for number, mtime in enumerate(_TIMES):
        (root / "times" / f"f{number}").write_text("f")
        (root / "times" / f"d{number}").mkdir()
        os.symlink("f", root / "times" / f"l{number}")
        for kind in "fdl":
            os.utime(root / "times" / f"{kind}{number}", ns=(0, mtime), follow_symlinks=False)
    (root / "owners").mkdir()
    for uid, gid in ((4_294_967_294, 3_000_000_000), (1234, 0), (0, 77_777)):
        (root / "owners" / f"{uid}").touch()
        os.chown(root / "owners" / f"{uid}", uid, gid)


def _names(place: Path) -> None:
    place.mkdir()
    for name in _NAMES:
        at = os.fsencode(place) + b"/d" + name[:254]
        os.mkdir(at)
        with open(at + b"/" + name, "wb") as file:
            file.write(name)
    for one in (b"same", b"Same", b"SAME", "\u00fc".encode(), "u\u0308".encode()):
        with open(os.fsencode(place) + b"/" + one, "wb") as file:
            file.write(one)


def _modes(place: Path) -> None:
    (place / "readonly" / "below").mkdir(parents=True)
    (place / "readonly" / "below" / "f").write_text("f")
    (place / "empty").touch()
    for mode in (0, 0o4755, 0o2755, 0o6711, 0o1644, 0o400, 0o777):
        (place / f"f{mode:o}").write_text("f")
        os.chmod(place / f"f{mode:o}", mode)
        (place / f"d{mode:o}").mkdir()
        (place / f"d{mode:o}" / "f").write_text("f")
        os.chmod(place / f"d{mode:o}", mode)
    os.chmod(place / "readonly" / "below", 0o555)
    os.chmod(place / "readonly", 0o500)


def _kinds(place: Path) -> None:
    place.mkdir()
    (place / "linked").write_text("linked")
    os.link(place / "linked", place / "linked too")
    os.setxattr(place / "linked", b"user.note", b"of two names\0")
    os.setxattr(place / "linked", b"trusted.note", b"")
    os.symlink("nowhere\n", place / "dangling")
    os.link(place / "dangling", place / "dangling too", follow_symlinks=False)
    os.mkfifo(place / "pipe", 0o640)
    os.mknod(place / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(place / "disk", stat.S_IFBLK | 0o660, os.makedev(4095, 1 << 19))
    (place / "tool").write_text("tool")
    subprocess.run(["setcap", "cap_net_raw=ep", place / "tool"], check=True)
    (place / "listed").mkdir()
    subprocess.run(["setfacl", "-m", "u:1234:rwx,d:u:4321:rx", place / "listed"], check=True)
    with open(place / "holes", "wb") as file:
        file.truncate(3 << 20)
        file.seek(1 << 20)
        file.write(b"data")
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(os.fspath(place / "socket"))


def fill_directory(place: Path, count: int = ENTRIES) -> None:
    """Very many entries in one directory, most of them empty."""
    place.mkdir()
    fd = os.open(place, os.O_RDONLY)
    for number in range(count):
        os.mknod(f"{number:x}", 0o600, dir_fd=fd)
    os.close(fd)
    (place / "0").write_text("not empty")


def fill_deep(root: Path) -> int:
    """A path longer than the kernel takes; the innermost directory, open."""
    fd = os.open(root, os.O_RDONLY)
    for _ in range(LEVELS):
        os.mkdir(LEVEL, dir_fd=fd)
        above, fd = fd, os.open(LEVEL, os.O_RDONLY, dir_fd=fd)
        os.close(above)
    write(fd, "file", b"deep")
    os.symlink("file", "link", dir_fd=fd)
    os.link("file", "linked", src_dir_fd=fd, dst_dir_fd=fd)
    return fd


def write(directory: int, name: str, data: bytes) -> None:
    """Write a directory's child."""
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640, dir_fd=directory)
    os.write(fd, data)
    os.close(fd)


def fill_big(path: Path) -> None:
    """More than 4 GiB, data at both ends, a hole between them."""
    with open(path, "wb") as file:
        file.write(os.urandom(300_000))
        file.seek(BIG - 300_000)
        file.write(os.urandom(300_000))


def tell(root: Path) -> Iterator[tuple[object, ...]]:
    """All of a tree, descriptor by descriptor, in order: names, kinds, attributes, content of what is small."""
    inodes: dict[int, str] = {}
    for place, folders, files, fd in os.fwalk(root):
        folders.sort()
        if place == str(root):
            folders.remove(".l2sync")
        inside = place[len(str(root)) :]
        for name in sorted([*folders, *files]):
            seen = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if not stat.S_ISSOCK(seen.st_mode):
                first = inodes.setdefault(seen.st_ino, f"{inside}/{name}")
                yield f"{inside}/{name}", first, *_attributes(name, fd, seen)


def _sparse(name: str, directory: int, seen: os.stat_result) -> bytes:
    """A large file by its extents of data; reading its holes would take long. They have to be holes."""
    assert seen.st_blocks * 512 < 16 << 20, f"the holes of {name} take {seen.st_blocks} blocks"
    fd = os.open(name, os.O_RDONLY, dir_fd=directory)
    hasher, at = blake3(), 0
    try:
        while True:
            start = os.lseek(fd, at, os.SEEK_DATA)
            at = os.lseek(fd, start, os.SEEK_HOLE)
            data = os.pread(fd, at - start, start)
            whole = data.strip(b"\0")
            hasher.update(b"%d " % (start + len(data) - len(data.lstrip(b"\0"))) + whole)
    except OSError:  # no data further on
        return hasher.digest()
    finally:
        os.close(fd)


def _attributes(name: str, fd: int, seen: os.stat_result) -> tuple[object, ...]:
    kind = stat.S_IFMT(seen.st_mode)
    content = b""
    if kind == stat.S_IFREG and seen.st_size < 1 << 20:
        with open(os.open(name, os.O_RDONLY, dir_fd=fd), "rb") as file:
            content = blake3(file.read()).digest()
    elif kind == stat.S_IFREG:
        content = _sparse(name, fd, seen)
    elif kind == stat.S_IFLNK:
        content = os.readlink(os.fsencode(name), dir_fd=fd)
    place = f"/proc/self/fd/{fd}/{name}"
    names = sorted(os.listxattr(place, follow_symlinks=False))
    xattrs = [(one, os.getxattr(place, one, follow_symlinks=False)) for one in names]
    size = seen.st_size if kind == stat.S_IFREG else 0
    links = seen.st_nlink if kind != stat.S_IFDIR else 0
    return seen.st_mode, seen.st_uid, seen.st_gid, seen.st_mtime_ns, size, links, seen.st_rdev, content, xattrs
