"""ban, unban and reload, against an agent that answers from a script; and the key file's three steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from l2sync.agent.keyfile import read_keys
from l2sync.agent.protocol import BanQuery, ReloadQuery, success

from .conftest import STATUS, FakeAgent

Run = Callable[..., tuple[int, str, str]]


def test_ban_and_unban_ask_the_agent(agent: FakeAgent, l2sync: Run) -> None:
    agent.answer = lambda query: success(None)
    status, out, _ = l2sync("ban", "web3")
    assert status == 0 and "web3 is banned" in out
    status, out, _ = l2sync("unban", "web3")
    assert status == 0 and "may join" in out
    assert agent.asked == [BanQuery("web3", True), BanQuery("web3", False)]


def test_what_cannot_be_banned_is_told_in_one_line(agent: FakeAgent, l2sync: Run) -> None:
    agent.refuse("failed", "no node named web33 was ever seen here; there are: web3")
    assert l2sync("ban", "web33") == (1, "", "l2sync: no node named web33 was ever seen here; there are: web3\n")


def test_reload_tells_what_is_wrong(agent: FakeAgent, l2sync: Run) -> None:
    agent.answer = lambda query: success(None)
    assert l2sync("reload")[0] == 0
    assert agent.asked == [ReloadQuery()]
    agent.refuse("not_reloaded", "/etc/l2sync/cluster.key: web2 knows no key 2")
    status, _, err = l2sync("reload")
    assert status == 1 and "web2 knows no key 2" in err


def test_status_names_who_misbehaves_who_is_banned_and_how_keys_stand(agent: FakeAgent, l2sync: Run) -> None:
    out = l2sync("status")[1]
    assert "keys" not in out and "ban" not in out
    one, two = {"id": 1, "check": "aaaaaaaa"}, {"id": 2, "check": "bbbbbbbb"}
    bad = {**STATUS["peers"][0], "misbehaving": {"path updtree": 1200}, "keys": [one]}
    node = {**STATUS["node"], "keys": [one, two]}
    changed = {**STATUS, "node": node, "peers": [bad], "bans": [{"name": "web9", "by": "web1"}]}
    agent.answer = lambda query: success(changed)
    out = " ".join(l2sync("status")[1].split())
    assert "web2 does what no member does: path updtree (1,200)" in out
    assert "web9 is banned (said on web1)" in out
    assert "web1 1 [aaaaaaaa], 2 [bbbbbbbb]; web2 1 [aaaaaaaa]" in out


def test_a_key_is_added_used_and_the_old_one_dropped(tmp_path: Path, l2sync: Run) -> None:
    file = tmp_path / "key"
    assert l2sync("keygen", file)[0] == 0
    (old,) = read_keys(file).items()
    assert l2sync("keygen", "--add", file)[0] == 0
    first, second = read_keys(file).items()
    assert first == old and second[0] == 2 and second[1] != old[1]
    assert l2sync("keygen", "--use", 2, file)[0] == 0
    assert list(read_keys(file)) == [2, 1]
    assert l2sync("keygen", "--drop", 1, file)[0] == 0
    assert read_keys(file) == dict([second])
    assert file.stat().st_mode & 0o777 == 0o600 and [p.name for p in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize(
    ("words", "said"), [(("--drop", 1), "the one in use"), (("--use", 7), "there is no key 7"), (("--drop", 300), "")]
)
def test_a_step_that_would_break_the_cluster_changes_nothing(
    tmp_path: Path, l2sync: Run, words: tuple[str, int], said: str
) -> None:
    file = tmp_path / "key"
    l2sync("keygen", file)
    before = file.read_bytes()
    status, _, err = l2sync("keygen", *words, file)
    assert status in (64, 78) and said in err
    assert file.read_bytes() == before
