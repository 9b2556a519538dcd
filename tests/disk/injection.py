"""Applying a batch while strace kills the process at a chosen system call, or fails the call.

As a program it tries every call of an application: ``python -m tests.disk.injection [--stride N]``.
"""

from __future__ import annotations

import argparse
import contextlib
import mmap
import os
import random
import shutil
import signal
import stat
import subprocess
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from l2sync.disk import Paused, TreeOptions
from l2sync.modtree import Entry

from .conftest import Replica, chunk_table

ERRORS = ("ENOSPC", "EIO", "EDQUOT", "EROFS", "EMFILE")
CALLS = "%file,%desc"
"""strace's classes of calls that name a file or a descriptor: all that an application does to file systems."""
_READY, _GO = 0, 1
_LIMIT_S = 30.0


class Thing(NamedTuple):
    """What stands at a path, as a user sees it."""

    kind: int
    mode: int
    content: bytes
    mtime: int


Tree = dict[str, Thing]


def look(root: Path) -> Tree:
    """All of a tree, but for what is ours in it and directories' times (they may change with their children)."""
    found: Tree = {}
    for place, folders, files in os.walk(root):
        if place == str(root):
            folders[:] = [one for one in folders if one != ".l2sync"]
        for one in [*folders, *files]:
            path = Path(place, one)
            status = path.lstat()
            kind, content, mtime = stat.S_IFMT(status.st_mode), b"", status.st_mtime_ns
            if stat.S_ISREG(kind):
                content = path.read_bytes()
            elif stat.S_ISLNK(kind):
                content = os.fsencode(os.readlink(path))
            else:
                mtime = 0
            found[str(path.relative_to(root))] = Thing(kind, stat.S_IMODE(status.st_mode), content, mtime)
    return found


def _bytes(name: str, size: int) -> bytes:
    return random.Random(name).randbytes(size)


def make_old(root: Path) -> None:
    """The tree before the batch."""
    for folder in ("gone", "moved/deep", "kept"):
        (root / folder).mkdir(parents=True)
    files = ("replaced", "renamed", "deleted", "mode", "kept/file", "moved/deep/file", "gone/file", "kind", "pair1")
    for name in files:
        (root / name).write_bytes(_bytes(name, 3000))
    (root / "large").write_bytes(_bytes("large", 400_000))
    os.link(root / "pair1", root / "pair2")
    (root / "link").symlink_to("replaced")


def make_new(root: Path) -> None:
    """What the batch makes of it: each kind of change once."""
    (root / "replaced").write_bytes(_bytes("new", 4000))
    with open(root / "large", "r+b") as file:
        file.seek(200_000)
        file.write(_bytes("patch", 100))
    (root / "renamed").rename(root / "kept/renamed")
    (root / "deleted").unlink()
    (root / "mode").chmod(0o4711)
    shutil.rmtree(root / "gone")
    (root / "moved").rename(root / "kept/moved")
    (root / "fresh/deep").mkdir(parents=True)
    (root / "fresh/deep/file").write_bytes(_bytes("fresh", 5000))
    (root / "fresh/empty").touch()
    (root / "link").unlink()
    (root / "link").symlink_to("elsewhere")
    (root / "kind").unlink()
    (root / "kind").mkdir()
    (root / "kind/inside").write_bytes(b"inside")
    os.link(root / "pair1", root / "pair3")
    os.utime(root / "kept/file", ns=(5, 1_234_567_890_123_456_789))


@dataclass
class Scene:
    """A source with the new tree, a receiver with the old one, and the batch that leads from one to the other."""

    place: Path
    entries: list[Entry] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.source = Replica(self.place, "source", TreeOptions())
        self.receiver = Replica(self.place, "receiver", TreeOptions())
        self.receiver.scan()
        make_old(self.source.root)
        self.receiver.mirror(self.source)
        self.old = look(self.receiver.root)
        make_new(self.source.root)
        self.entries = self.source.scan()
        self.new = look(self.source.root)
        table, places = chunk_table(self.entries)
        wanted = [(number, *places[number], chunk.length, chunk.hash) for number, chunk in enumerate(table)]
        self.data = dict(self.source.store.read_chunks(wanted))

    def apply(self) -> bool:
        """The batch once: prepared, supplied, committed. Whether all of it came through. Raises Paused."""
        key, entries = self.receiver.prepare(self.entries)
        missing = [(number, self.data[number] or b"") for number in self.receiver.missing]
        for at in range(0, len(missing), 2):
            self.receiver.store.store(key, missing[at : at + 2])
        result = self.receiver.commit(key, entries)
        return not (self.receiver.unstaged or result.failed or result.changed)

    def persevere(self) -> bool:
        """Again until all of it came through, as a node does."""
        for _ in range(6):
            with contextlib.suppress(Paused):
                if self.receiver.store.health() is None:
                    self.receiver.scan()
                    if self.apply():
                        return True
        return False

    def close(self) -> None:
        for one in (self.source, self.receiver):
            one.store.close()


@contextlib.contextmanager
def scene() -> Iterator[Scene]:
    """A scene in memory: what is durable is not at stake here."""
    place = Path(tempfile.mkdtemp(prefix="l2s-inject-", dir="/dev/shm"))
    try:
        made = Scene(place)
        yield made
        made.close()
    finally:
        shutil.rmtree(place, ignore_errors=True)


class Call(NamedTuple):
    """One system call of an application: its name, and which of that name it is."""

    name: str
    nth: int


def trial(act: Callable[[], bool], injection: str | None = None, trace: str = "/dev/null") -> int:
    """Run ``act`` in a child under strace with an injection; how the child ended (0: the act said True)."""
    flags = mmap.mmap(-1, 2)
    child = os.fork()
    if child == 0:
        _serve(flags, act)
    words = ["strace", "-qq", "-o", trace, "-e", f"trace={CALLS}", "-p", str(child)]
    tracer = subprocess.Popen([*words, *(["-e", f"inject={injection}"] if injection else [])])
    try:
        end = time.monotonic() + _LIMIT_S
        while "TracerPid:\t0\n" in Path(f"/proc/{child}/status").read_text() or not flags[_READY]:
            assert time.monotonic() < end and tracer.poll() is None, "strace did not attach"
            time.sleep(0.001)
        flags[_GO] = 1
        return os.waitstatus_to_exitcode(_wait(child, end))
    finally:
        tracer.wait(_LIMIT_S)


def _wait(child: int, end: float) -> int:
    while time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return status
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


def _serve(flags: mmap.mmap, act: Callable[[], bool]) -> None:
    """The child: waits without a traced call, acts, ends."""
    code = 70
    try:
        flags[_READY] = 1
        while not flags[_GO]:
            time.sleep(0.001)
        code = 0 if act() else 1
    except Paused:
        code = 2
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


# --- the judge --------------------------------------------------------------------------------------------------------


def verdict(made: Scene) -> list[str]:
    """What is wrong after an application that was cut short: each path must be old or new, whole."""
    wrong = []
    found = look(made.receiver.root)
    for path in sorted(made.old.keys() | made.new.keys() | found.keys()):
        old, new, now = made.old.get(path), made.new.get(path), found.get(path)
        if now not in (old, new) and not (now and new and _half_directory(now, old, new)):
            wrong.append(f"{path} is neither old nor new: {_brief(now)}, was {_brief(old)}, shall be {_brief(new)}")
    return wrong


def lost(made: Scene) -> list[str]:
    """What moves must stand somewhere, at each moment."""
    kept = {thing.content for thing in look(made.receiver.root).values()}
    return [f"{path}'s content is lost" for path in _MOVED if made.new[path].content not in kept]


_MOVED = ("kept/renamed", "kept/moved/deep/file")


def _half_directory(now: Thing, old: Thing | None, new: Thing) -> bool:
    """A directory gets its attributes last: until then it is nobody else's."""
    made = old is None or old.kind != new.kind
    return made and stat.S_ISDIR(now.kind) and now.kind == new.kind and now.mode == 0o700


def _brief(thing: Thing | None) -> str:
    return "nothing" if thing is None else f"{thing.kind:o} {thing.mode:o} {len(thing.content)} bytes {thing.mtime}"


def after_the_restart(made: Scene) -> list[str]:
    """What is wrong once the receiver was started again: nothing is the user's doing, and the batch comes through."""
    made.receiver.open()
    wrong = [f"taken for the user's doing: {entry.path!r}" for entry in made.receiver.scan()]
    if not made.persevere():
        wrong.append("the batch does not come through after a restart")
    if look(made.receiver.root) != made.new:
        wrong.append("the tree is not the new one in the end")
    wrong += [f"taken for the user's doing in the end: {entry.path!r}" for entry in made.receiver.scan()]
    area = made.receiver.root / ".l2sync/staging"
    wrong += [f"left staged: {one}" for one in os.listdir(area)]
    return wrong


def killed_at(call: Call) -> list[str]:
    """Kill an application, its start included, before a call, then judge and restart; what is wrong."""
    with scene() as made:
        made.receiver.store.close()

        def act() -> bool:
            made.receiver.open()
            return made.apply()

        code = trial(act, f"{call.name}:signal=KILL:when={call.nth}")
        wrong = [] if code == -signal.SIGKILL else [f"ended with {code} instead of being killed"]
        return wrong + verdict(made) + lost(made) + after_the_restart(made)


def failed_at(call: Call, error: str) -> list[str]:
    """Fail a call of an application, which then goes on; what is wrong, before a restart and after."""
    with scene() as made:

        def act() -> bool:
            with contextlib.suppress(Paused):
                made.apply()
            return not verdict(made) and made.persevere() and look(made.receiver.root) == made.new

        code = trial(act, f"{call.name}:error={error}:when={call.nth}")
        wrong = [] if code == 0 else [f"ended with {code}"]
        made.receiver.store.close()
        return wrong + verdict(made) + after_the_restart(made)


def calls(restarted: bool) -> list[Call]:
    """The calls that an application makes, with or without a start, in their order."""
    with scene() as made:
        if restarted:
            made.receiver.store.close()

        def act() -> bool:
            if restarted:
                made.receiver.open()
            return made.apply()

        trace = made.place / "trace"
        assert trial(act, trace=str(trace)) == 0
        names = [line.partition("(")[0] for line in trace.read_text().splitlines()]
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        seen[name] += 1
        found.append(Call(name, seen[name]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stride", type=int, default=1, help="try each nth call")
    parser.add_argument("what", nargs="*", default=["KILL", *ERRORS])
    chosen = parser.parse_args()
    for what in chosen.what:
        tried = calls(what == "KILL")[:: chosen.stride]
        failures = 0
        for call in tried:
            wrong = killed_at(call) if what == "KILL" else failed_at(call, what)
            failures += bool(wrong)
            for line in wrong:
                print(f"{what} at {call.name} {call.nth}: {line}", flush=True)
        print(f"{what}: {len(tried)} calls tried, {failures} with faults", flush=True)


if __name__ == "__main__":
    main()
