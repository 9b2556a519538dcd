"""approve and restore, against an agent that answers from a script."""

from __future__ import annotations

import os
from collections.abc import Callable

from l2sync.agent.protocol import DecideQuery, RestoreQuery, success

from .conftest import FakeAgent

Run = Callable[..., tuple[int, str, str]]


def test_what_was_decided_is_said(agent: FakeAgent, l2sync: Run) -> None:
    agent.answer = lambda query: success(text="www: approved on web3")
    assert l2sync("approve", "www") == (0, "www: approved on web3\n", "")
    assert l2sync("restore", "/srv/www")[0] == 0
    here = os.fsencode(os.path.abspath("www"))
    assert agent.asked == [DecideQuery("www", here), RestoreQuery(b"/srv/www", b"/srv/www")]


def test_nothing_to_decide_is_a_no(agent: FakeAgent, l2sync: Run) -> None:
    agent.refuse("not_held", "nothing of www is held back: nothing to decide")
    assert l2sync("approve", "www") == (1, "", "l2sync: nothing of www is held back: nothing to decide\n")
