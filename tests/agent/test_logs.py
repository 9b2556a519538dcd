"""The log's text."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import structlog

from l2sync.agent.logs import set_up_logs


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """The log as it was: what is set up here writes to a stream that is closed afterwards."""
    yield
    structlog.reset_defaults()


def test_a_terminal_gets_no_control_characters_and_a_journal_gets_json(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "x\x1b[2J"
    set_up_logs("console")
    structlog.get_logger().info("refused", path=b"y\x1b[31m", reason=evil)
    told = capsys.readouterr().err
    assert "\x1b" not in told and r"x\x1b[2J" in told and r"y\x1b[31m" in told
    set_up_logs("json")
    structlog.get_logger().info("refused", reason=evil)
    assert json.loads(capsys.readouterr().err)["reason"] == evil
