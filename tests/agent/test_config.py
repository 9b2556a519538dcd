"""The configuration: what is right is taken, and all that is wrong is told at once."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2sync.agent.config import load_config, parse_config, parse_rate
from l2sync.agent.faults import ConfigError

GOOD = """
[cluster]
name = "web"
key_file = "/etc/l2sync/cluster.key"
interface = "eth0"
[node]
name = "web1"
state_dir = "/var/lib/l2sync"
control_socket = "/run/l2sync/control.sock"
[[tree]]
name = "www"
path = "/srv/www"
ignore = ["*.swp", "cache/"]
settle_ms = 50
"""


def faults_of(text: str) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "f.toml")
    assert all(fault.file == "f.toml" and fault.reason and fault.remedy for fault in caught.value.faults)
    return {fault.key: str(fault) for fault in caught.value.faults}


def test_every_documented_key_is_taken():
    config = parse_config(GOOD, "f.toml")
    assert (config.cluster.name, config.cluster.interface, config.node.name) == ("web", "eth0", "web1")
    (tree,) = config.trees
    assert (tree.name, tree.path, tree.ignore, tree.settle_ms) == ("www", "/srv/www", ("*.swp", "cache/"), 50)


def test_what_is_left_out_has_its_default():
    text = '[cluster]\nname="c"\nkey_file="/k"\ninterface="e"\n[[tree]]\nname="t"\npath="/t"\n'
    config = parse_config(text, "f.toml")
    assert config.node.name == socket.gethostname()
    assert config.node.state_dir == "/var/lib/l2sync"
    assert config.node.control_socket == "/run/l2sync/control.sock"
    assert config.trees[0].settle_ms == 50


@pytest.mark.parametrize(
    ("text", "rate"), [("200Mbit", 25_000_000), ("1.5Gbit", 187_500_000), ("1000kbit", 125_000), ("1Mbit", 125_000)]
)
def test_a_rate_is_given_in_bits_per_second(text: str, rate: int):
    assert parse_rate(text) == rate
    config = parse_config(GOOD.replace("[node]", f'max_rate = "{text}"\n[node]', 1), "f.toml")
    assert config.cluster.max_rate == text


@pytest.mark.parametrize("text", ["200", "200M", "fast", "-1Mbit", "999kbit", "0Mbit", "1e3Mbit", "200 Mbit"])
def test_what_is_no_rate_is_refused(text: str):
    told = faults_of(GOOD.replace("[node]", f'max_rate = "{text}"\n[node]', 1))["cluster.max_rate"]
    assert "no rate to send at" in told and "200Mbit" in told


@pytest.mark.parametrize(
    ("right", "wrong", "key", "near"),
    [
        ("interface =", "interfase =", "cluster.interfase", "interface"),
        ("[cluster]", "[clutser]", "clutser", "cluster"),
        ("state_dir =", "statedir =", "node.statedir", "state_dir"),
        ("settle_ms =", "settel_ms =", "tree[1].settel_ms", "settle_ms"),
        ("ignore =", "Ignore =", "tree[1].Ignore", "ignore"),
    ],
)
def test_an_unknown_key_names_the_nearest_known_one(right: str, wrong: str, key: str, near: str):
    assert f'"{near}"' in faults_of(GOOD.replace(right, wrong))[key]


def test_all_faults_are_told_at_once():
    text = """
[cluster]
name = ""
interface = "a name with spaces"
colour = "red"
[node]
state_dir = "relative"
[[tree]]
name = "a/b"
path = "/srv"
settle_ms = -1
[[tree]]
name = "y"
path = "/srv/y"
"""
    found = faults_of(text)
    assert {"cluster.key_file", "cluster.colour", "node.state_dir", "tree[1].settle_ms"} <= set(found)


def test_each_value_of_a_wrong_type_is_named():
    found = faults_of(GOOD.replace('"eth0"', "3").replace("50", '"fifty"').replace('["*.swp", "cache/"]', "7"))
    assert set(found) >= {"cluster.interface", "tree[1].settle_ms", "tree[1].ignore"}


@pytest.mark.parametrize(
    ("one", "other"), [("/srv", "/srv/www"), ("/srv/www", "/srv"), ("/srv", "/srv"), ("/srv/", "/srv/./a")]
)
def test_trees_must_not_overlap(one: str, other: str):
    text = GOOD.replace("/srv/www", one) + f'[[tree]]\nname = "other"\npath = "{other}"\n'
    assert "overlap" in faults_of(text)["tree[2].path"]


def test_siblings_with_a_common_beginning_do_not_overlap():
    text = GOOD + '[[tree]]\nname = "other"\npath = "/srv/www2"\n'
    assert len(parse_config(text, "f.toml").trees) == 2


def test_two_trees_of_one_name_are_refused():
    assert "tree[2].name" in faults_of(GOOD + '[[tree]]\nname = "www"\npath = "/other"\n')


def test_the_state_directory_must_not_lie_in_a_tree():
    assert "state directory" in faults_of(GOOD.replace("/var/lib/l2sync", "/srv/www/state"))["tree[1].path"]


def test_a_missing_tree_is_told():
    assert "tree" in faults_of(GOOD[: GOOD.index("[[tree]]")])


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 256, "\x7f"])
def test_a_node_name_that_frames_cannot_carry_is_refused(name: str):
    import json

    text = GOOD.replace('"web1"', json.dumps(name).replace("\x7f", "\\u007f"))
    if name == "":
        assert parse_config(text, "f.toml").node.name  # the same as none
    else:
        assert "node.name" in faults_of(text)


def test_a_missing_file_is_told_with_a_remedy(tmp_path: Path):
    with pytest.raises(ConfigError, match="init"):
        load_config(tmp_path / "none.toml")


def test_what_is_no_text_is_told(tmp_path: Path):
    (tmp_path / "f").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_config(tmp_path / "f")


@given(st.text(max_size=200))
def test_any_text_is_taken_or_refused_with_faults(text: str):
    try:
        parse_config(text, "f")
    except ConfigError as error:
        assert error.faults


@given(st.sampled_from(["cluster", "node", "tree", "log"]), st.sampled_from(["1", '"x"', "[]", "[{}]", "[1]", "{a=1}"]))
def test_a_section_of_any_shape_is_taken_or_refused_with_faults(section: str, value: str):
    with pytest.raises(ConfigError):
        parse_config(f"{section} = {value}", "f")
