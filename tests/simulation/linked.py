"""Hard links and changes made at once: nodes on real file systems; the second half of docs/conflicts.md.

``python -m tests.simulation.linked`` prints what every pair of changes leaves, to be judged.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from l2sync.modtree import TreePath

from .realdisk import RealDisk
from .world import SECOND, World

OLD = 1_000_000_000
LinkChange = Callable[[Path, str, int], None]


def _time(path: Path, now: int) -> None:
    os.utime(path, ns=(now, now))


def _edit(name: str) -> LinkChange:
    def change(top: Path, who: str, now: int) -> None:
        (top / name).write_text(who)
        _time(top / name, now)

    return change


def _save(top: Path, who: str, now: int) -> None:
    (top / "aside").write_text(who)
    _time(top / "aside", now)
    (top / "aside").rename(top / "f")


def _link(top: Path, who: str, now: int) -> None:
    os.link(top / "f", top / "n")


def _delete(*names: str) -> LinkChange:
    def change(top: Path, who: str, now: int) -> None:
        for name in names:
            (top / name).unlink()

    return change


def _rename(top: Path, who: str, now: int) -> None:
    (top / "f").rename(top / f"f-{who}")


def _chmod(top: Path, who: str, now: int) -> None:
    (top / "f").chmod(0o600 if who == "first" else 0o640)


def _delete_directory(top: Path, who: str, now: int) -> None:
    shutil.rmtree(top)


LINK_CHANGES: dict[str, LinkChange] = {
    "edit `f` in place": _edit("f"),
    "edit `g` in place": _edit("g"),
    "save `f` anew": _save,
    "link `n` to `f`": _link,
    "delete `f`": _delete("f"),
    "delete both": _delete("f", "g"),
    "rename `f`": _rename,
    "chmod": _chmod,
    "delete directory": _delete_directory,
}


class LinkedWorld(World):
    """Three nodes that hold the same on real disks."""

    def __init__(self, base: Path) -> None:
        super().__init__(3)
        self.disks = [RealDisk(base, host.name, number) for number, host in enumerate(self.hosts, 1)]
        for host, disk in zip(self.hosts, self.disks, strict=True):
            host.disk = disk  # type: ignore[assignment]
        top = self.disks[0].root / "d"
        top.mkdir()
        (top / "f").write_text("old")
        _time(top / "f", OLD)
        os.link(top / "f", top / "g")
        self.start()
        assert self.run(30 * SECOND, self.at_peace)

    def at_peace(self) -> bool:
        """Whether all say that they are in sync, and are."""
        return self.in_sync() and self.same()

    def _rescan(self, host: object, life: int, paths: tuple[TreePath, ...]) -> None:
        self._report(host, host.disk.scan(None))  # type: ignore[arg-type, attr-defined]


def play_linked(first: str, second: str, base: Path) -> str:
    """Two nodes make a change each in the same moment; what every node ends with once all is quiet."""
    world = LinkedWorld(base)
    try:
        for host, name, who, late in ((0, first, "first", 1), (1, second, "second", 2)):
            LINK_CHANGES[name](world.disks[host].root / "d", who, OLD + late * SECOND)
            world.touch(world.hosts[host], TreePath(b""))
        assert world.run(60 * SECOND, world.at_peace), "no peace"
        world.run(5 * SECOND)
        assert world.same()
        for host in world.hosts:
            world.touch(host, TreePath(b""))
        world.run(5 * SECOND)
        assert world.at_peace(), "a scan of what was put in place finds news"
        return _words(world.disks[2].tree())
    finally:
        for disk in world.disks:
            disk.close()


def _words(tree: dict[bytes, tuple[object, ...]]) -> str:
    """Names of one inode are set equal."""
    groups: dict[object, list[str]] = {}
    texts: dict[object, str] = {}
    for path, (mode, data, _, leader) in tree.items():
        name = path.decode()
        if path == b"d":
            continue
        name = name.split(".conflict-")[0] + " (copy)" if ".conflict-" in name else name
        groups.setdefault(leader, []).append(name)
        bits = int(str(mode)) & 0o777
        assert isinstance(data, bytes)
        texts[leader] = data.decode() + (f" {bits:o}" if bits != 0o644 else "")
    return "; ".join(f"{' = '.join(names)}: {texts[leader]}" for leader, names in groups.items()) or "nothing"


if __name__ == "__main__":
    for one in LINK_CHANGES:
        for other in LINK_CHANGES:
            with tempfile.TemporaryDirectory() as place:
                try:
                    ends = play_linked(one, other, Path(place))
                except AssertionError as error:
                    ends = f"FAILED {error}"
            print(f'    ("{one}", "{other}"): "{ends}",', flush=True)
