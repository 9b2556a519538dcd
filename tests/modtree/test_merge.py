"""Two versions of a path, and what they become."""

from __future__ import annotations

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from l2sync.modtree import Entry, Order, VersionVector, conflict_path, join, merge, resolve, tree_path

from .make import entries, file, folder, nothing, written

SETS = st.frozensets(entries(path=b"p"), max_size=4)
VECTORS = st.builds(lambda d: VersionVector(d.items()), st.dictionaries(st.integers(1, 4), st.integers(1, 4)))


@given(VECTORS, VECTORS)
def test_the_order_of_versions_is_that_of_a_naive_comparison(a: VersionVector, b: VersionVector) -> None:
    more = any(a.counter(r) > b.counter(r) for r in range(1, 5))
    less = any(a.counter(r) < b.counter(r) for r in range(1, 5))
    naive = {(0, 0): Order.EQUAL, (1, 0): Order.AFTER, (0, 1): Order.BEFORE, (1, 1): Order.CONCURRENT}
    assert a.compare(b) is naive[more, less]
    assert a.join(b).compare(a) in (Order.AFTER, Order.EQUAL) and a.join(b) == b.join(a)


@given(SETS, SETS, SETS)
def test_join_is_associative_commutative_and_idempotent(a: frozenset, b: frozenset, c: frozenset) -> None:  # type: ignore[type-arg]
    assert join(join(a, b), c) == join(a, join(b, c))
    assert join(a, b) == join(b, a)
    assert join(join(a, a), a) == join(a, a)


@given(st.lists(entries(path=b"p"), min_size=1, max_size=4))
def test_the_order_of_siblings_never_matters_and_no_content_is_lost(siblings: list[Entry]) -> None:
    results = {resolve(order) for order in permutations(siblings)}
    assert len(results) == 1
    result = results.pop()
    kept = {result.winner.content} | {copy.content for copy in result.copies}
    for one in join(frozenset(siblings), frozenset()):
        replaced = any(one.dot != other.dot and other.version.counter(one.dot[0]) >= one.dot[1] for other in siblings)
        if one.kind.name in ("FILE", "LINK") and not replaced:
            same_place = {conflict_path(one)} & {copy.path for copy in result.copies}
            assert one.content in kept or same_place


def test_a_version_that_grew_by_a_merge_leaves_no_copy_beside_the_one_written_over_it() -> None:
    """Another node had merged the first version with a deletion before the second, which replaces it, came there."""
    base = written(file(b"f", b"base"), by=2)
    first = written(file(b"f", b"first", mtime=2 * 10**9), by=1, over=base)
    second = written(file(b"f", b"second", mtime=10**9), by=1, count=2, over=first)
    gone = written(nothing(b"f"), by=2, count=2, over=base)
    merged = merge(first, gone).winner
    assert merge(merged, second).winner.content == second.content == merge(second, merged).winner.content
    assert merge(merged, second).copies == () == merge(second, merged).copies
    assert merge(merged, second).winner.version.covers(second.version.join(gone.version))


def test_a_later_version_replaces_an_earlier_one() -> None:
    old = written(file(b"f", b"old"))
    new = written(file(b"f", b"new", mtime=0), by=2, over=old)
    assert merge(old, new) == (new, ()) == merge(new, old)


def test_concurrent_edits_keep_both_and_the_later_modification_wins() -> None:
    base = written(file(b"d/page.html", b"base"))
    a = written(file(b"d/page.html", b"from a", mtime=10**9), by=1, count=2, over=base)
    b = written(file(b"d/page.html", b"from b", mtime=2 * 10**9), by=2, over=base)
    result = merge(a, b)
    assert result.winner.content == b.content and result.winner.version == a.version.join(b.version)
    assert [copy.path for copy in result.copies] == [b"d/page.conflict-web1-19700101-000001.html"]
    assert result.copies[0].content == a.content


def test_two_versions_of_one_author_and_second_that_both_lose_keep_a_copy_each() -> None:
    base = written(file(b"f", b"base"))
    losers = [written(file(b"f", text, mtime=5), by=1, count=2 + n, over=base) for n, text in enumerate((b"x", b"y"))]
    copies = [merge(written(file(b"f", b"won", mtime=9), by=2, over=base), loser).copies[0] for loser in losers]
    assert copies[0].path == copies[1].path
    both = merge(*copies)
    assert {both.winner.content, *(copy.content for copy in both.copies)} == {loser.content for loser in losers}


def test_an_edit_beats_a_deletion_whichever_comes_first() -> None:
    base = written(file(b"f", b"base"))
    gone = written(nothing(b"f"), by=1, count=2, over=base)
    edit = written(file(b"f", b"edit"), by=2, over=base)
    assert merge(gone, edit).winner.content == edit.content == merge(edit, gone).winner.content
    assert merge(gone, edit).copies == ()


def test_a_deletion_that_has_seen_the_edit_stays() -> None:
    edit = written(file(b"f", b"edit"), by=2)
    gone = written(nothing(b"f"), by=1, over=edit)
    assert merge(edit, gone).winner.deleted and merge(gone, edit).winner.deleted


def test_what_everybody_deleted_stays_deleted_though_each_version_beat_anothers_deletion() -> None:
    """Each of two versions was deleted by who had written it; elsewhere it had beaten the other's deletion first."""
    base = written(file(b"f", b"base"))
    one = written(file(b"f", b"one", mtime=2), by=2, over=base)
    other = written(file(b"f", b"base", mode=0o600), by=3, over=base)
    gone_one = written(nothing(b"f"), by=2, count=2, over=one)
    gone_other = written(nothing(b"f"), by=3, count=2, over=other)
    there, here = merge(gone_other, one).winner, merge(gone_one, other).winner
    assert not there.deleted and not here.deleted
    end = merge(there, here)
    assert end.winner.deleted and end.copies == () and end == merge(here, there)
    assert end.winner.version.compare(there.version) is end.winner.version.compare(here.version) is Order.AFTER


def test_what_was_replaced_by_what_lost_elsewhere_still_stands() -> None:
    """Nobody deleted anything: of two versions whose replacers are conflict copies now, one stands."""
    one, other = written(file(b"f", b"one", mtime=1), by=2), written(file(b"f", b"other", mtime=2), by=3)
    later_one = written(file(b"f", b"later one", mtime=0), by=2, count=2, over=one)
    later_other = written(file(b"f", b"later other", mtime=0), by=3, count=2, over=other)
    there, here = merge(later_other, one), merge(later_one, other)
    assert len(there.copies) == len(here.copies) == 1
    end = merge(there.winner, here.winner)
    assert end.winner.content == other.content and end.copies == ()


def test_equal_content_makes_no_copy() -> None:
    a, b = written(file(b"f", b"same", mtime=1), by=1), written(file(b"f", b"same", mtime=2), by=2)
    assert merge(a, b).copies == () and merge(a, b).winner.mtime_ns == 2


def test_a_directory_beats_a_file_which_is_kept() -> None:
    a, b = written(folder(b"x"), by=1), written(file(b"x", b"data", mtime=99), by=2)
    assert merge(a, b).winner.kind.name == "DIR" and len(merge(a, b).copies) == 1


def test_every_order_of_merging_three_concurrent_versions_gives_the_same_winner_and_vector() -> None:
    versions = [written(file(b"f", b"%d" % i, mtime=i), by=i) for i in (1, 2, 3)]
    ends = set()
    for a, b, c in permutations(versions):
        winner = merge(merge(a, b).winner, c).winner
        ends.add((winner.content, winner.version))
    assert len(ends) == 1


def test_names_of_conflict_copies_fit_and_keep_their_ending() -> None:
    def renamed(path: bytes) -> bytes:
        return conflict_path(written(file(path, b"x")))

    assert renamed(b".bashrc") == b".bashrc.conflict-web1-19700101-000000"
    assert renamed(b"a/b.tar.gz") == b"a/b.tar.conflict-web1-19700101-000000.gz"
    assert renamed(b"\xff\xfe") == b"\xff\xfe.conflict-web1-19700101-000000"
    long = renamed(b"d/" + b"n" * 251 + b".txt")
    assert tree_path(long) and len(long) == 2 + 255 and long.endswith(b".txt")
