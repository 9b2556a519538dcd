"""Pages that claim to show the code's tables do."""

from __future__ import annotations

import re
from pathlib import Path

from l2sync.cluster import TRANSITIONS, SelfState

PAGE = Path(__file__).resolve().parents[2] / "docs" / "architecture.md"


def test_the_states_on_the_page_are_those_of_the_code() -> None:
    section = PAGE.read_text().split("## States of this node")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ([A-Z, a-z]+) \| ([A-Z]+) \|", section, re.MULTILINE)
    shown: dict[SelfState, set[SelfState]] = {state: set() for state in SelfState}
    for sources, target in rows:
        named = [s.strip() for s in sources.split(",")]
        states = (
            [s for s in SelfState if s.name not in ("REFUSED", "LEFT", "IDLE")]
            if "any" in sources
            else [SelfState[name] for name in named]
        )
        for state in states:
            shown[state].add(SelfState[target])
    assert shown == {state: set(following) for state, following in TRANSITIONS.items()}
