"""versions and restore, against an agent that answers from a script."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from l2sync.agent.protocol import KeptVersion, Restored, RestoreQuery, VersionsQuery, success

from .conftest import FakeAgent

Run = Callable[..., tuple[int, str, str]]
ONE = KeptVersion("www", "/srv/www", "a\tb", b"a\tb", "20261121-101112.5-web2", "file", 5, 10**9, 2 * 10**9)
LINK = KeptVersion("www", "/srv/www", "l", b"l", "20261121-101113.5-web2", "link", 3, 10**9, 2 * 10**9)


def test_versions_of_one_path_or_of_all_are_listed(
    agent: FakeAgent, l2sync: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "40")
    agent.answer = lambda query: success([ONE, LINK])
    status, out, _ = l2sync("versions")
    header, first, second = out.splitlines()
    assert status == 0 and header.split() == ["path", "version", "replaced", "size"]
    assert "www:a\\tb" in first and ONE.id in first and first.endswith("5 B")
    assert second.endswith("link")
    l2sync("versions", "gone")
    assert agent.asked == [VersionsQuery(), VersionsQuery(os.fsencode(tmp_path / "gone"), b"gone")]


def test_that_none_are_kept_is_said(agent: FakeAgent, l2sync: Run) -> None:
    agent.answer = lambda query: success([])
    assert l2sync("versions")[1] == "no versions are kept (keep_versions_days says where they are)\n"
    assert l2sync("versions", "f")[1] == "no versions of f are kept\n"


def test_json_is_what_the_agent_says(agent: FakeAgent, l2sync: Run) -> None:
    agent.answer = lambda query: success([ONE])
    assert json.loads(l2sync("versions", "--json")[1])[0]["path"] == "a\tb"


def test_what_came_back_and_what_did_not_is_told(agent: FakeAgent, l2sync: Run) -> None:
    agent.answer = lambda query: success(Restored("www", "/srv/www", (b"d", b"d/\xff"), ((b"d/g", "Is a directory"),)))
    status, out, error = l2sync("restore", "/srv/www/d", "--version", "x")
    assert status == 1
    assert out == "restored www:d\nrestored www:d/\\xff\n"
    assert error == "l2sync: www:d/g: Is a directory\n"
    assert agent.asked == [RestoreQuery(b"/srv/www/d", b"/srv/www/d", "x")]


def test_that_nothing_can_come_back_is_a_no(agent: FakeAgent, l2sync: Run) -> None:
    agent.refuse("failed", "f: no version of it is kept")
    assert l2sync("restore", "f") == (1, "", "l2sync: f: no version of it is kept\n")
