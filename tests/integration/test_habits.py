"""The habits of editors, logs, databases, git, tar and pip, each within a synced tree, as its hosts' users see them."""

from __future__ import annotations

import io
import os
import sqlite3
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .cluster import Agent, Cluster

pytestmark = [pytest.mark.root, pytest.mark.slow]
GIT = ["git", "-c", "user.name=A", "-c", "user.email=a@b", "-c", "init.defaultBranch=main", "-c", "safe.directory=*"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(3, tmp_path_factory.mktemp("habits")) as made:
        made.start()
        made.settle()
        yield made


def same_everywhere(cluster: Cluster) -> None:
    cluster.flush()
    cluster.judge()
    told = [agent.status() for agent in cluster.agents]
    assert [status and status["trees"][0]["conflicts"] for status in told] == [0] * len(told)


def git(where: Path, *words: str | Path) -> str:
    done = subprocess.run([*GIT, "-C", where, *words], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_editor_and_a_log(cluster: Cluster) -> None:
    a, b, c = (agent.tree for agent in cluster.agents)
    for number in range(40):
        text = f"version {number}\n" * number
        (a / ".saved.swp").write_text(text)
        os.replace(a / ".saved.swp", a / "saved")  # aside, then over the old
        (a / "rewritten").write_text(text)  # truncated, then written
        with open(b / "log", "a") as log:  # without end
            log.write(f"line {number}\n" * 50)
        with open(c / "in place", "w+b" if number == 0 else "r+b") as file:
            file.seek(number * 1000)
            file.write(b"%d" % number * 500)
    same_everywhere(cluster)
    assert (c / "saved").read_text() == (c / "rewritten").read_text() == "version 39\n" * 39
    assert (a / "log").read_text().count("\n") == 2000 and not (b / ".saved.swp").exists()


def test_a_database_that_is_written_while_it_is_read(cluster: Cluster) -> None:
    writer, reader = (agent.tree / "data.db" for agent in cluster.agents[:2])
    done = threading.Event()

    def read() -> None:
        base = sqlite3.connect(writer)
        while not done.is_set():
            base.execute("SELECT count(*) FROM item").fetchone()
        base.close()

    base = sqlite3.connect(writer)
    base.execute("CREATE TABLE item(number INTEGER PRIMARY KEY, text)")
    base.commit()
    thread = threading.Thread(target=read)
    thread.start()
    try:
        for number in range(60):
            base.execute("INSERT INTO item VALUES(?, ?)", (number, "x" * 2000))
            base.commit()
    finally:
        done.set()
        thread.join()
        base.close()
    same_everywhere(cluster)
    there = sqlite3.connect(f"file:{reader}?mode=ro", uri=True)
    assert there.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert there.execute("SELECT count(*) FROM item").fetchone() == (60,)
    there.close()


def test_a_clone_and_checkouts_between_branches(cluster: Cluster, tmp_path: Path) -> None:
    origin = tmp_path / "origin"
    origin.mkdir()
    git(origin, "init", "-q")
    for branch in ("main", "other"):
        if branch == "other":
            git(origin, "checkout", "-q", "-b", branch)
        for number in range(60):
            path = origin / f"{'of-' + branch if number % 2 else 'both'}/d{number % 5}/f{number}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{branch} {number}\n" * number)
        git(origin, "add", "-A")
        git(origin, "commit", "-qm", branch)
    here, there = (agent.tree / "work" for agent in cluster.agents[:2])
    git(tmp_path, "clone", "-q", origin, here)
    for branch in ("main", "other", "main", "other"):
        git(here, "checkout", "-q", branch)
    same_everywhere(cluster)
    assert git(there, "status", "--porcelain") == "" and git(there, "branch", "--show-current") == "other\n"
    git(there, "fsck", "--strict")
    git(there, "checkout", "-q", "main")
    same_everywhere(cluster)
    assert git(here, "status", "--porcelain") == "" and not (here / "of-other").exists()


def test_an_archive_unpacked_over_what_was_unpacked_before(cluster: Cluster) -> None:
    for version in (b"first", b"second"):
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for number in range(300):
                info = tarfile.TarInfo(f"archive/d{number % 7}/f{number}")
                info.size, info.mtime, info.mode = len(version) * 100, 1_600_000_000, 0o640
                archive.addfile(info, io.BytesIO(version * 100))
        subprocess.run(["tar", "-C", cluster.agents[0].tree, "-xf", "-"], input=packed.getvalue(), check=True)
    same_everywhere(cluster)
    found = [path.read_bytes() for path in (cluster.agents[2].tree / "archive").rglob("f*")]
    assert found == [b"second" * 100] * 300


def wheel(place: Path, version: str) -> Path:
    """A package of this version, made by hand."""
    made = place / f"parcel-{version}-py3-none-any.whl"
    about = f"parcel-{version}.dist-info"
    files = {f"parcel/part{number}.py": f"number = {number}\n" * 50 for number in range(100)}
    files |= {"parcel/__init__.py": f"version = {version!r}\n"}
    files |= {f"{about}/METADATA": f"Metadata-Version: 2.1\nName: parcel\nVersion: {version}\n"}
    files |= {f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}
    files |= {f"{about}/RECORD": "".join(f"{name},,\n" for name in [*files, f"{about}/RECORD"])}
    with zipfile.ZipFile(made, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return made


def test_a_package_installed_and_upgraded(cluster: Cluster, tmp_path: Path) -> None:
    here: Agent = cluster.agents[1]
    for version in ("1.0", "2.0"):
        words = ["install", "-q", "--no-index", "--no-deps", "--upgrade", "--target", here.tree / "site"]
        words += ["--disable-pip-version-check", "--root-user-action=ignore", wheel(tmp_path, version)]
        subprocess.run([sys.executable, "-m", "pip", *words], check=True)
    same_everywhere(cluster)
    for agent in cluster.agents:
        ask = "import parcel, parcel.part99; print(parcel.version)"
        words = [sys.executable, "-B", "-c", ask]
        told = subprocess.run(words, cwd=agent.tree / "site", check=True, capture_output=True, text=True)
        assert told.stdout == "2.0\n"
