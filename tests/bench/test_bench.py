"""The benchmark's own instruments, and one small round of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from benchmarks import stream  # noqa: E402
from benchmarks.measure import Sizes  # noqa: E402
from benchmarks.meters import Metered  # noqa: E402
from benchmarks.peers import PEERS  # noqa: E402
from benchmarks.reserve import Reserve  # noqa: E402
from benchmarks.scenarios import SCENARIOS  # noqa: E402
from benchmarks.stage import Bench  # noqa: E402
from benchmarks.trees import (  # noqa: E402
    Strictness,
    difference,
    make_entries,
    make_parts,
    make_tree,
    marks,
    rewrite,
    wait_for,
)

needs_rsync = pytest.mark.skipif(shutil.which("rsync") is None, reason="needs rsync")


def test_equal_seeds_make_equal_trees(tmp_path: Path) -> None:
    sizes = [make_tree(tmp_path / name, 100, 20, 100, seed=3) for name in ("one", "other")]
    assert sizes[0] == sizes[1] > 0
    one, other = [{mark.path: (mark.kind, mark.size) for mark in marks(tmp_path / name)} for name in ("one", "other")]
    assert one == other
    assert len([path for path in one if path.endswith(".dat")]) == 100


def test_rewriting_changes_the_named_files_only(tmp_path: Path) -> None:
    make_tree(tmp_path / "tree", 50, 5, 100, seed=3)
    before = {path: path.read_bytes() for path in (tmp_path / "tree").rglob("*.dat")}
    changed, size = rewrite(tmp_path / "tree", 10, seed=4)
    assert len(changed) == 10
    differing = [path for path, content in before.items() if path.read_bytes() != content]
    assert size == sum(len(before[path]) for path in differing)
    assert {str(path.relative_to(tmp_path / "tree")) for path in differing} <= set(changed)


def test_waiting_names_what_has_not_arrived(tmp_path: Path) -> None:
    make_tree(tmp_path / "source", 10, 5, 100, seed=3)
    (tmp_path / "target").mkdir()
    with pytest.raises(TimeoutError, match="part00"):
        wait_for(marks(tmp_path / "source"), [tmp_path / "target"], time.monotonic())
    wait_for(marks(tmp_path / "source"), [tmp_path / "source"], time.monotonic())


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a file system in memory")
def test_memory_is_held_up_to_what_was_asked_for_and_let_go_at_once() -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        reserve = Reserve(Path(folder), 3 << 20)
        reserve.hold()
        reserve.hold()
        assert [path.stat().st_size for path in Path(folder).iterdir()] == [3 << 20]
        reserve.free()
        reserve.free()
        assert list(Path(folder).iterdir()) == []


def test_what_was_going_on_is_known_where_the_whole_is_ended(tmp_path: Path) -> None:
    bench = Bench(Sizes(), tmp_path)
    with pytest.raises(KeyboardInterrupt), bench.during("comparing"):
        with pytest.raises(ValueError, match="full"), bench.during("writing"):
            raise ValueError("full")
        assert bench.step == "comparing"
        raise KeyboardInterrupt
    assert bench.step == "comparing"


@needs_rsync
@pytest.mark.slow
def test_a_difference_is_seen_in_content_mode_and_presence_but_not_in_our_own_folder(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    make_tree(one, 20, 5, 100, seed=3)
    (one / ".l2sync").mkdir()
    shutil.copytree(one, other, symlinks=True, ignore=shutil.ignore_patterns(".l2sync"))
    shutil.copystat(one, other)
    assert difference(one, other) == []
    victim = next(path for path in sorted(other.rglob("*.dat")) if path.stat().st_size)
    times = os.stat(victim)
    victim.write_bytes(bytes(victim.stat().st_size))
    os.utime(victim, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert len(difference(one, other)) == 1
    victim.unlink()
    assert any(victim.name in line for line in difference(one, other))


@pytest.mark.slow
def test_a_process_bill_has_its_children_in_it() -> None:
    burn = (
        "import subprocess, sys; subprocess.run([sys.executable, '-c', 'x = bytearray(50 << 20); sum(range(10**6))'])"
    )
    metered = Metered(subprocess.Popen([sys.executable, "-c", burn]), "sender")
    assert metered.wait(time.monotonic() + 30) == 0
    assert metered.cpu() > 0
    assert metered.peak() > 50 << 20


def test_a_million_entries_are_a_million_folders_included(tmp_path: Path) -> None:
    for wanted in (1000, 1234):
        root = tmp_path / str(wanted)
        root.mkdir()
        make_entries(root, wanted)
        assert len(list(root.rglob("*"))) == wanted


def test_parts_add_up_to_the_size_that_is_told(tmp_path: Path) -> None:
    size = make_parts(tmp_path, 100_000, 4_000, seed=1)
    assert size == sum(path.stat().st_size for path in tmp_path.rglob("*.bin")) == 100_000


def test_a_tool_is_judged_by_what_it_claims_to_keep(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for root, when in ((one, 1_500_000_000_700_000_000), (other, 1_500_000_000_000_000_000)):
        (root / "folder").mkdir(parents=True)
        (root / "folder" / "file").write_bytes(b"same")
        os.utime(root / "folder" / "file", ns=(when, when))
        os.utime(root / "folder", ns=(when + len(str(root)), when + len(str(root)) * 10**9))
    late = time.monotonic()
    with pytest.raises(TimeoutError, match="file"):
        wait_for(marks(one, None, Strictness(folder_times=False)), [other], late)
    with pytest.raises(TimeoutError, match="folder"):
        wait_for(marks(one, None, Strictness(fractions=False)), [other], late)
    wait_for(marks(one, None, Strictness(folder_times=False, fractions=False)), [other], late)
    os.utime(other / "folder" / "file", ns=(0, 0))
    wait_for(marks(one, None, Strictness(attributes=False)), [other], late)


def test_what_a_stream_received_is_told_for_any_stretch_of_time(tmp_path: Path) -> None:
    lines = "".join(f"{100 + tenth / 10} {tenth * 1_000_000}\n" for tenth in range(51))
    (tmp_path / "sink").write_text(lines + "105.1 51")  # the last line is still being written
    assert stream.rate_between(str(tmp_path / "sink"), 101.0, 103.0) == pytest.approx(80, rel=0.1)
    assert stream.rate_between(str(tmp_path / "sink"), 90.0, 99.0) == 0


def test_every_scenario_has_a_peer_and_every_peer_scenarios_that_exist() -> None:
    known = {name for peer in PEERS.values() for name in peer.scenarios}
    assert known == set(SCENARIOS)
