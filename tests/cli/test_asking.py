"""status, flush, rescan and conflicts, against an agent that answers from a script."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from l2sync.agent.protocol import ConflictCopy, ConflictsQuery, FlushQuery, Query, Reply, RescanQuery, success
from l2sync.cli.tables import amount

from .conftest import STATUS, FakeAgent

Run = Callable[..., tuple[int, str, str]]
LATE = {**STATUS, "in_sync": False, "reasons": ["www: web2 lacks 3 entries", "www: paused here: disk full"]}


def answering(status: object) -> Callable[[Query], Reply]:
    return lambda query: success(status)


def test_the_verdict_comes_first(agent: FakeAgent, l2sync: Run) -> None:
    status, out, _ = l2sync("status")
    assert status == 0
    assert out.startswith("IN SYNC\n")
    for shown in ("web1", "id 3", "web2", "0.31 ms", "12,345", "3.0 MiB", "abababababab", "retransmissions 4", "held"):
        assert shown in out
    assert "changes are heard of by fanotify (www)\n" in out


def test_what_hinders_is_said_at_once(agent: FakeAgent, l2sync: Run) -> None:
    agent.answer = answering(LATE)
    status, out, _ = l2sync("status")
    assert status == 0
    assert out.splitlines()[:3] == ["NOT IN SYNC", "  www: web2 lacks 3 entries", "  www: paused here: disk full"]


def test_json_is_all_that_the_agent_said(agent: FakeAgent, l2sync: Run) -> None:
    status, out, _ = l2sync("status", "--json")
    assert status == 0
    assert json.loads(out) == STATUS


def test_check_is_one_line_and_an_exit_status(agent: FakeAgent, l2sync: Run) -> None:
    assert l2sync("status", "--check") == (0, "in sync\n", "")
    agent.answer = answering(LATE)
    assert l2sync("status", "--check") == (
        1,
        "not in sync: www: web2 lacks 3 entries; www: paused here: disk full\n",
        "",
    )


def test_an_agent_that_is_starting_is_not_in_sync(agent: FakeAgent, l2sync: Run) -> None:
    agent.refuse("starting", "waiting for the interface: eth0 is down")
    status, out, err = l2sync("status", "--check")
    assert (status, out) == (1, "")
    assert "eth0 is down" in err


def test_markup_in_names_is_shown_as_it_is(agent: FakeAgent, l2sync: Run) -> None:
    peer = {**STATUS["peers"][0], "name": "[red]x"}
    agent.answer = answering({**STATUS, "peers": [peer], "reasons": ["[bold]y"], "in_sync": False})
    out = l2sync("status")[1]
    assert "[red]x" in out
    assert "[bold]y" in out


def test_flush_asks_for_the_tree_and_the_time(agent: FakeAgent, l2sync: Run) -> None:
    agent.answer = answering(None)
    status, out, _ = l2sync("flush", "www", "--timeout", "5")
    assert status == 0
    assert out
    assert agent.asked == [FlushQuery("www", 5.0)]


def test_flush_names_who_lacks_what(agent: FakeAgent, l2sync: Run) -> None:
    agent.refuse("timeout", "www: web2 lacks 3 entries that are on their way")
    assert l2sync("flush") == (3, "", "l2sync: www: web2 lacks 3 entries that are on their way\n")


def test_an_unknown_tree_is_wrong_usage(agent: FakeAgent, l2sync: Run) -> None:
    agent.refuse("unknown_tree", "no tree is named 'w'")
    assert l2sync("flush", "w")[0] == 64


def test_rescan_tells_what_it_found(agent: FakeAgent, l2sync: Run) -> None:
    agent.answer = answering({"changes": {"www": 1, "etc": 0}})
    assert l2sync("rescan") == (0, "www: 1 change found\netc: 0 changes found\n", "")
    assert agent.asked == [RescanQuery(None)]


def test_conflicts_are_whole_paths_whatever_their_bytes(agent: FakeAgent, l2sync: Run) -> None:
    agent.answer = answering([ConflictCopy("www", "/srv/www", b"a/b.conflict-x-20260101-000000.txt", 3, 4)])
    assert l2sync("conflicts", "www") == (0, "/srv/www/a/b.conflict-x-20260101-000000.txt\n", "")
    assert agent.asked == [ConflictsQuery("www")]
    assert l2sync("conflicts", "--null")[1] == "/srv/www/a/b.conflict-x-20260101-000000.txt\0"


def test_an_agent_that_hangs_up_is_no_agent(agent: FakeAgent, l2sync: Run) -> None:
    def break_off(query: Query) -> Reply:
        raise ConnectionAbortedError

    agent.answer = break_off
    status, _, err = l2sync("status")
    assert status == 2
    assert "ended before it answered" in err


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 << 30, "5.0 GiB"), (3 << 50, "3072.0 TiB")]
)
def test_sizes_are_for_people(size: int, text: str) -> None:
    assert amount(size) == text


def test_no_control_character_of_a_name_reaches_the_terminal(agent: FakeAgent, l2sync: Run) -> None:
    """File names, and what other nodes say, may be made to play tricks on whoever looks."""
    evil = "x\x1b]0;evil\x07\x1b[2J\u202e"
    tree = {**STATUS["trees"][0], "failing": [{"path": evil, "reason": evil}], "paused_reason": evil}
    lock = {**STATUS["locks"][0], "paths": [evil]}
    agent.answer = answering({**LATE, "trees": [tree], "locks": [lock], "reasons": [evil]})
    for words in (("status",), ("status", "--check")):
        out = l2sync(*words)[1]
        assert "\x1b" not in out and "\u202e" not in out and r"x\x1b]0;evil" in out
    agent.refuse("timeout", f"www: {evil} lacks\n3 entries")
    err = l2sync("flush")[2]
    assert "\x1b" not in err and "lacks\n3 entries" in err
