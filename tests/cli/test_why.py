"""why, against an agent that answers from a script."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from l2sync.agent.protocol import WhyQuery, success

from .conftest import FakeAgent

Run = Callable[..., tuple[int, str, str]]
VERSION: dict[str, Any] = {
    "kind": "file",
    "size": 12345,
    "mtime_ns": 1_700_000_000_000_000_001,
    "mode": 0o644,
    "uid": 0,
    "gid": 33,
    "author": "web2",
    "id": "000000000000abcd-7",
}
SAME: dict[str, Any] = {
    "tree": "www",
    "path": "html/index.html",
    "nodes": [{"name": "web1", "here": True, "state": "same", "version": VERSION, "of_a_later_version": 1}],
    "newest": VERSION,
    "locks": [],
    "same_everywhere": True,
}


def node(state: str, **more: object) -> dict[str, object]:
    return {"name": "web3", "state": state, **more}


def told(*nodes: dict[str, object], **more: object) -> dict[str, Any]:
    return {**SAME, "nodes": [*SAME["nodes"], *nodes], **more}


def test_one_path_is_asked_for_absolutely_and_as_written(
    agent: FakeAgent, l2sync: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    agent.answer = lambda query: success(SAME)
    status, out, _ = l2sync("why", "html/../index.html", "--timeout", "2")
    assert status == 0
    assert agent.asked == [WhyQuery(os.fsencode(tmp_path / "index.html"), b"html/../index.html", 2.0)]
    assert out.splitlines() == [
        "www:html/index.html",
        "It is a file of 12,345 bytes (12.1 KiB), mode 0644, owner 0:33, modified 2023-11-14 22:13:20.000000001 UTC, "
        "written on web2 (version 000000000000abcd-7).",
        "  web1 (here): has it.",
    ]


@pytest.mark.parametrize(
    ("state", "sentence", "exit_status"),
    [
        ("older", "web3: has an older version: a file of 12,345 bytes", 1),
        ("concurrent", "web3: has another version, made without knowledge of that one: a file", 1),
        ("none", "web3: has never heard of it.", 1),
        ("no tree", "web3: does not keep this tree.", 0),
        ("silent", "web3: did not answer in time.", 3),
        ("unreachable", "web3: cannot be reached, last heard 8 s ago.", 0),
        ("of a later version", "web3: of a later version", 0),
    ],
)
def test_each_state_is_a_sentence(agent: FakeAgent, l2sync: Run, state: str, sentence: str, exit_status: int) -> None:
    other = node(state, version=VERSION, last_seen_s=8.2)
    agent.answer = lambda query: success(told(other, same_everywhere=exit_status == 0))
    status, out, _ = l2sync("why", "x")
    assert status == exit_status and f"  {sentence}" in out


def test_reasons_troubles_below_and_locks_are_told(agent: FakeAgent, l2sync: Run) -> None:
    other = node(
        "same",
        remarks=[
            {"about": "failing", "text": "Operation not permitted", "again_s": 20},
            {"about": "ignored", "text": "*.swp in .l2syncignore"},
            {"about": "of_a_later_version", "text": "something new\x1b[31m"},
        ],
        below=[{"path": "html/a", "about": "unreadable", "text": "Input/output error"}],
        in_trouble=5,
    )
    lock = {"holder": "web2", "paths": ["html"], "purpose": "user", "granted": True}
    agent.answer = lambda query: success(told(other, locks=[lock]))
    status, out, _ = l2sync("why", "x")
    assert status == 1
    assert out.splitlines()[4:] == [
        "      It cannot be brought up to date there: Operation not permitted (tried again in 20 s).",
        "      It is ignored there, by *.swp in .l2syncignore: changes made there are not told to the others.",
        "      Something new\\x1b[31m",
        "      html/a cannot be read: Input/output error",
        "      and 4 more below it",
        "html is locked by web2, for a user there.",
    ]


def test_what_was_deleted_says_by_whom(agent: FakeAgent, l2sync: Run) -> None:
    agent.answer = lambda query: success(told(newest={**VERSION, "kind": "tombstone"}))
    _, out, _ = l2sync("why", "x")
    assert "It was deleted on web2 (version 000000000000abcd-7)." in out
    assert "web1 (here): knows that it was deleted." in out


def test_json_is_all_that_the_agent_said(agent: FakeAgent, l2sync: Run) -> None:
    agent.answer = lambda query: success(SAME)
    status, out, _ = l2sync("why", "--json", "x")
    assert status == 0 and json.loads(out) == SAME


def test_a_path_outside_of_all_trees_is_wrong_usage(agent: FakeAgent, l2sync: Run) -> None:
    agent.refuse("outside", "/etc/passwd is in none of the trees (/srv/www)")
    assert l2sync("why", "/etc/passwd") == (64, "", "l2sync: /etc/passwd is in none of the trees (/srv/www)\n")
