"""A first look at a tree that comes in portions: the node asks for each when it has the last, and all converge."""

from __future__ import annotations

from pathlib import Path

import pytest

from l2sync.disk import firstlook

from .linked import LinkedWorld
from .realdisk import RealDisk


def test_a_node_asks_for_the_rest_of_a_first_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firstlook, "_PORTION", 1)
    looks = list[bool]()
    look_on = RealDisk._look_on

    def counted(disk: RealDisk, anew: bool) -> object:
        looks.append(anew)
        return look_on(disk, anew)

    monkeypatch.setattr(RealDisk, "_look_on", counted)
    world = LinkedWorld(tmp_path)  # at peace only when all have all
    for disk in world.disks:
        disk.close()
    assert looks.count(False) >= 2
    assert len(world.disks[2].tree()) == 3
