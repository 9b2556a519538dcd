"""Names that share an inode share it on every node, however they came to."""

from __future__ import annotations

import itertools
import os
import random
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2sync.disk.links import Name, labels
from l2sync.modtree import ModTree, TreePath
from l2sync.node.plan import is_news, make_plan

from .conftest import Replica, differences

Pair = tuple[Replica, Replica]


def same(root: Path, *names: str) -> bool:
    return len({os.lstat(root / one).st_ino for one in names}) == 1


def together(a: Replica, b: Replica) -> None:
    """Both trees are equal, and neither has anything to tell."""
    assert differences(a, b) == []
    assert a.store.scan(None) == b.store.scan(None) == []


@pytest.fixture
def linked(pair: Pair) -> Pair:
    a, b = pair
    (a.root / "p").write_text("one")
    os.link(a.root / "p", a.root / "q")
    (a.root / "d").mkdir()
    os.link(a.root / "p", a.root / "d" / "r")
    (a.root / "alone").write_text("one")
    b.mirror(a)
    together(a, b)
    return a, b


def test_links_arrive_as_links(linked: Pair) -> None:
    _, b = linked
    assert same(b.root, "p", "q", "d/r") and not same(b.root, "p", "alone")


def test_their_content_is_staged_once(pair: Pair) -> None:
    a, b = pair
    (a.root / "p").write_bytes(random.Random(1).randbytes(300_000))
    os.link(a.root / "p", a.root / "q")
    key, entries = b.stage(a, a.scan())
    (area,) = (b.root / ".l2sync" / "staging").iterdir()
    assert len(b.missing) == 3 and len(list(area.iterdir())) == 1
    b.commit(key, entries)
    together(a, b)


@pytest.mark.parametrize("seen", [[b"p"], []])
def test_one_name_edited_in_place_changes_all(linked: Pair, seen: list[bytes]) -> None:
    a, b = linked
    (a.root / "p").write_text("two")
    made = a.scan(*seen)
    assert sorted(entry.path for entry in made) == [b"d/r", b"p", b"q"]
    b.receive(a, made)
    assert same(b.root, "p", "q", "d/r") and (b.root / "q").read_text() == "two"
    together(a, b)


@pytest.mark.parametrize("seen", [[b"q"], []])
def test_a_name_that_is_saved_anew_leaves_the_others(linked: Pair, seen: list[bytes]) -> None:
    a, b = linked
    (a.root / "new").write_text("two")
    os.rename(a.root / "new", a.root / "q")
    made = a.scan(*seen)
    assert [entry.path for entry in made if entry.path] == [b"q"]
    b.receive(a, made)
    assert same(b.root, "p", "d/r") and (b.root / "p").read_text() == "one"
    together(a, b)


@pytest.mark.parametrize("seen", [[b"q", b"s"], [b"s", b"q"], []])
def test_links_are_made_and_taken_away(linked: Pair, seen: list[bytes]) -> None:
    a, b = linked
    os.unlink(a.root / "q")
    os.link(a.root / "alone", a.root / "s")
    b.receive(a, a.scan(*seen))
    assert b.missing == [] and same(b.root, "alone", "s")
    together(a, b)
    os.link(a.root / "p", a.root / "q")
    b.receive(a, a.scan(b"q"))
    assert b.missing == [] and same(b.root, "p", "q", "d/r")
    together(a, b)


def test_a_removed_name_is_no_news_of_the_others(linked: Pair) -> None:
    a, b = linked
    os.unlink(a.root / "q")
    os.unlink(a.root / "d" / "r")
    assert sorted(e.path for e in a.scan()) == [b"", b"d", b"d/r", b"q"]
    b.receive(a, [a.entries[TreePath(one)] for one in (b"", b"d", b"d/r", b"q")])
    together(a, b)


def test_renamed_names_stay_linked(linked: Pair) -> None:
    a, b = linked
    inode = os.stat(b.root / "p").st_ino
    os.rename(a.root / "q", a.root / "d" / "q2")
    b.mirror(a)
    assert b.missing == [] and same(b.root, "p", "d/q2", "d/r")
    os.rename(a.root / "p", a.root / "p2")
    os.rename(a.root / "d", a.root / "e")
    b.mirror(a)
    assert b.missing == [] and same(b.root, "p2", "e/q2", "e/r")
    assert os.stat(b.root / "p2").st_ino == inode
    together(a, b)


def test_a_mode_changed_under_one_name_is_changed_under_all_in_place(linked: Pair) -> None:
    a, b = linked
    inode = os.stat(b.root / "p").st_ino
    os.chmod(a.root / "d" / "r", 0o600)
    b.receive(a, a.scan(b"d/r"))
    assert b.missing == [] and os.stat(b.root / "q").st_ino == inode
    together(a, b)


def test_a_mode_changes_while_another_name_goes(linked: Pair) -> None:
    a, b = linked
    os.chmod(a.root / "p", 0o600)
    os.unlink(a.root / "q")
    result = b.mirror(a)
    assert not result.changed and not (b.root / "q").exists() and same(b.root, "p", "d/r")
    together(a, b)


def test_a_part_of_the_names_arriving_first_parts_them_until_the_rest_comes(linked: Pair) -> None:
    a, b = linked
    os.chmod(a.root / "p", 0o600)
    made = {entry.path: entry for entry in a.scan()}
    b.receive(a, [made[TreePath(b"p")]])
    assert not same(b.root, "p", "q") and same(b.root, "q", "d/r")
    assert (os.stat(b.root / "p").st_mode & 0o777, os.stat(b.root / "q").st_mode & 0o777) == (0o600, 0o644)
    assert b.store.scan(None) == []
    b.receive(a, [made[TreePath(b"d/r")]])
    assert same(b.root, "p", "d/r")
    b.receive(a, [made[TreePath(b"q")]])
    assert same(b.root, "p", "q", "d/r")
    together(a, b)


def test_equal_files_become_links_and_links_equal_files(linked: Pair) -> None:
    a, b = linked
    os.utime(a.root / "alone", ns=(0, os.stat(a.root / "p").st_mtime_ns))
    b.mirror(a)
    os.unlink(a.root / "alone")
    os.link(a.root / "p", a.root / "alone")
    b.mirror(a)
    assert b.missing == [] and same(b.root, "p", "alone")
    together(a, b)
    os.system(f"cp -p {a.root}/q {a.root}/t && mv {a.root}/t {a.root}/q")
    b.mirror(a)
    assert b.missing == [] and not same(b.root, "p", "q")
    together(a, b)


def test_a_group_is_linked_to_another(linked: Pair) -> None:
    a, b = linked
    (a.root / "x").write_text("x")
    os.link(a.root / "x", a.root / "y")
    b.mirror(a)
    for one in ("p", "q"):
        os.unlink(a.root / one)
        os.link(a.root / "x", a.root / one)
    b.mirror(a)
    assert same(b.root, "x", "y", "p", "q") and not same(b.root, "x", "d/r")
    together(a, b)


def test_a_lost_index_finds_the_same_links(linked: Pair) -> None:
    a, b = linked
    b.store.close()
    for file in b.state.rglob("tree.db*"):
        file.unlink()
    (b.root / ".l2sync" / "id").unlink()
    b.open()
    b.scan()
    assert {p: e.link_group for p, e in b.entries.items()} == {p: e.link_group for p, e in a.entries.items()}


def test_links_of_symbolic_links_are_kept_too(pair: Pair) -> None:
    a, b = pair
    os.symlink("x", a.root / "l")
    os.link(a.root / "l", a.root / "m", follow_symlinks=False)
    b.mirror(a)
    assert same(b.root, "l", "m")
    together(a, b)


def test_a_link_that_the_user_made_meanwhile_is_seen_and_kept(linked: Pair) -> None:
    a, b = linked
    os.chmod(a.root / "p", 0o600)
    os.link(b.root / "p", b.root / "mine")
    b.mirror(a)
    made = b.scan()
    assert b"mine" in [entry.path for entry in made]
    a.receive(b, [e for e in made if not e.deleted])
    b.receive(a, a.scan())
    together(a, b)


def test_a_foreign_copy_of_a_linked_file_is_a_file_of_its_own(linked: Pair) -> None:
    a, b = linked
    os.system(f"cp -p {a.root}/p {a.root}/copy")
    (a.root / "new").write_text("two")
    os.rename(a.root / "new", a.root / "p")
    b.mirror(a)
    assert not same(b.root, "copy", "q") and same(b.root, "q", "d/r")
    together(a, b)


def test_a_crash_between_the_names_is_mended(linked: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = linked
    (a.root / "p").write_text("two")
    key, entries = b.stage(a, a.scan())
    put, calls = os.link, []

    def once(*args: object, **more: object) -> None:
        calls.append(args)
        if len(calls) > 1:
            raise SystemExit
        put(*args, **more)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", once)
        with pytest.raises(SystemExit):
            b.commit(key, entries)
    b.reopen()
    seen = [seen.path for seen in b.store.scan(None)]
    assert not {b"p", b"q", b"d/r"}.intersection(seen), "what the batch had brought is not taken for the user's doing"
    b.receive(a, [entry for entry in a.entries.values() if entry.path])
    assert same(b.root, "p", "q", "d/r")
    assert b.store.scan(None) == [], "nor what the crash did to the times of directories"


@given(st.lists(st.tuples(st.integers(1, 4), st.sampled_from([b"", b"G", b"H"]), st.booleans()), max_size=8))
def test_equal_labels_and_looks_mean_one_inode(drawn: list[tuple[int, bytes, bool]]) -> None:
    names = [
        Name(TreePath(b"%d" % n), inode, label, stayed, (inode % 2,)) for n, (inode, label, stayed) in enumerate(drawn)
    ]
    found = labels(names, lambda label, paths: False)
    for one, other in itertools.combinations(names, 2):
        linked = found[one.path] == found[other.path] != b"" and one.state == other.state
        assert linked == (one.inode == other.inode)
    again = [one._replace(label=found[one.path], stayed=True) for one in names]
    assert labels(again, lambda label, paths: False) == found, "what was judged once is no news"


NAMES = ("p", "q", "d/r", "d/s", "t")


def play(root: Path, rng: random.Random) -> list[bytes]:
    """One thing that a user does; the paths that the kernel would report."""
    one, other = rng.sample(NAMES, 2)
    there = (root / one).exists()
    match rng.choice(["write", "append", "link", "rename", "unlink", "save", "chmod", "copy"]):
        case "write":
            (root / one).write_text(rng.choice("abc"))
        case "append" if there:
            with open(root / one, "a") as file:
                file.write("+")
        case "link" if there:
            (root / other).unlink(missing_ok=True)
            os.link(root / one, root / other)
        case "rename" if there:
            os.rename(root / one, root / other)
        case "unlink" if there:
            os.unlink(root / one)
        case "save":
            (root / "new").write_text(rng.choice("abc"))
            os.rename(root / "new", root / one)
        case "chmod" if there:
            os.chmod(root / one, rng.choice([0o600, 0o640, 0o644]))
        case "copy" if there:
            shutil.copy2(root / one, root / "new")
            os.rename(root / "new", root / other)
    return [one.encode(), other.encode()]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_done_to_links_arrives(pair: Pair, seed: int) -> None:
    a, b = pair
    rng = random.Random(seed)
    (a.root / "d").mkdir()
    b.mirror(a)
    for _ in range(25):
        touched = [path for _ in range(rng.randint(1, 4)) for path in play(a.root, rng)]
        made = a.scan(*rng.choice([touched, []]))
        if rng.random() < 0.3:  # in two batches, cut anywhere
            rng.shuffle(made)
            cut = rng.randint(0, len(made))
            b.receive(a, sorted(made[:cut], key=lambda entry: entry.path))
            made = made[cut:]
        b.receive(a, sorted(made, key=lambda entry: entry.path))
        assert differences(a, b) == []
        assert b.store.scan(None) == []
    assert a.store.scan(None) == []


def exchange(one: Replica, other: Replica) -> bool:
    """Bring what ``other`` has and ``one`` does not; whether there was anything."""
    tree = ModTree()
    for entry in one.entries.values():
        tree.put(entry)

    def dot() -> int:
        one.counter += 1
        return one.counter

    plan = make_plan(tree, other.entries.values(), one.store.replica, dot, one.name)
    targets = plan.as_targets()
    if targets:
        key, _ = one.stage(other, [entry for entry in other.entries.values() if is_news(tree.get(entry.path), entry)])
        result = one.store.commit(key, targets)
        one.entries.update((entry.path, entry) for entry in result.applied)
        assert not result.failed
        if result.changed:
            one.scan(*result.changed)
    return bool(targets)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_concurrent_changes_of_links_come_to_one_end(pair: Pair, seed: int) -> None:
    a, b = pair
    rng = random.Random(seed)
    (a.root / "d").mkdir()
    b.mirror(a)
    for _ in range(15):
        for one in (a, b):
            for _ in range(rng.randint(0, 3)):
                play(one.root, rng)
            one.scan()
        rounds = 0
        while exchange(a, b) | exchange(b, a):
            rounds += 1
            assert rounds < 6, "they never agree"
            a.scan()
            b.scan()
        assert differences(a, b) == []
        assert a.store.scan(None) == b.store.scan(None) == []
