"""keygen, init and check."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from l2sync.agent.config import load_config
from l2sync.agent.faults import Fault
from l2sync.agent.keyfile import read_keys
from l2sync.cli import setup
from l2sync.cli.hostchecks import host_faults
from l2sync.cli.template import configuration_text

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def flags(tmp_path: Path) -> list[str]:
    (tmp_path / "www").mkdir()
    files = ["--config", f"{tmp_path}/etc/l2sync.toml", "--key-file", f"{tmp_path}/etc/cluster.key"]
    return [*files, "--cluster", "web", "--interface", "lo", "--tree", f"www={tmp_path}/www"]


def test_a_new_key_is_for_its_owner_only(l2sync: Run, tmp_path: Path) -> None:
    former = os.umask(0)
    try:
        assert l2sync("keygen", tmp_path / "key")[0] == 0
    finally:
        os.umask(former)
    assert (tmp_path / "key").stat().st_mode & 0o7777 == 0o600
    assert len(read_keys(tmp_path / "key")) == 1


def test_a_key_is_never_overwritten(l2sync: Run, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("precious")
    status, out, err = l2sync("keygen", tmp_path / "key")
    assert (status, out) == (1, "")
    assert "is not overwritten" in err
    assert (tmp_path / "key").read_text() == "precious"


def test_a_key_where_none_can_be_is_told(l2sync: Run, tmp_path: Path) -> None:
    assert l2sync("keygen", tmp_path / "none" / "key")[::2] == (
        1,
        f"l2sync: {tmp_path}/none/key: No such file or directory\n",
    )


def test_init_writes_a_sound_configuration_and_a_key(l2sync: Run, tmp_path: Path, flags: list[str]) -> None:
    status, out, _ = l2sync("init", *flags)
    assert status == 0
    config = load_config(tmp_path / "etc/l2sync.toml")
    assert (config.cluster.name, config.cluster.interface) == ("web", "lo")
    assert [(tree.name, tree.path) for tree in config.trees] == [("www", f"{tmp_path}/www")]
    assert len(read_keys(Path(config.cluster.key_file))) == 1
    assert "On the second host" in out
    assert f"l2sync init --cluster web --tree www={tmp_path}/www" in out


def test_init_keeps_a_key_that_was_copied_here(l2sync: Run, tmp_path: Path, flags: list[str]) -> None:
    (tmp_path / "etc").mkdir()
    l2sync("keygen", tmp_path / "etc/cluster.key")
    before = (tmp_path / "etc/cluster.key").read_bytes()
    assert l2sync("init", *flags)[0] == 0
    assert (tmp_path / "etc/cluster.key").read_bytes() == before


def test_init_overwrites_no_configuration(l2sync: Run, tmp_path: Path, flags: list[str]) -> None:
    assert l2sync("init", *flags)[0] == 0
    assert l2sync("init", *flags)[0] == 1


def test_init_makes_nothing_of_what_cannot_be(l2sync: Run, tmp_path: Path, flags: list[str]) -> None:
    assert l2sync("init", *flags, "--tree", f"www={tmp_path}/www/inner")[0] == 78
    assert not (tmp_path / "etc").exists()


def test_init_names_what_it_cannot_ask_for(l2sync: Run, flags: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    at = flags.index("--interface")
    status, _, err = l2sync("init", *flags[:at], *flags[at + 2 :])
    assert status == 64
    assert "--interface is needed" in err


@pytest.mark.parametrize("tree", ["www", "=/srv", "www="])
def test_a_tree_is_named_with_its_path(l2sync: Run, flags: list[str], tree: str) -> None:
    assert l2sync("init", *flags, "--tree", tree)[0] == 64


def test_names_with_quotes_survive_the_configuration(tmp_path: Path) -> None:
    name = 'a "quoted" \\ näme'
    (tmp_path / "c").write_text(configuration_text(name, "/k", "eth0", name, [("t", '/srv/"x"\\')]))
    config = load_config(tmp_path / "c")
    assert (config.cluster.name, config.node.name, config.trees[0].path) == (name, name, '/srv/"x"\\')


def test_every_commented_key_is_one_that_the_agent_knows(tmp_path: Path) -> None:
    text = configuration_text("web", "/k", "eth0", None, [("t", "/srv/t")])
    keys = [line[1:] if line.startswith("#") and " = " in line else line for line in text.splitlines()]
    (tmp_path / "c").write_text("\n".join(keys))
    config = load_config(tmp_path / "c")
    assert config.trees[0].ignore == ("*.swp", "cache/")
    assert config.node.control_group == "adm"


def test_check_says_that_all_is_well(l2sync: Run, flags: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "host_faults", lambda config: [])
    l2sync("init", *flags)
    status, out, err = l2sync("check", "--config", flags[1])
    assert (status, err) == (0, "")
    assert "no faults" in out


def test_check_tells_a_warning_and_goes_on(l2sync: Run, flags: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    warning = Fault("f", "k", "is small", "make it large", fatal=False)
    monkeypatch.setattr(setup, "host_faults", lambda config: [warning])
    l2sync("init", *flags)
    assert l2sync("check", "--config", flags[1])[::2] == (0, "warning: f: k: is small; make it large\n")


def test_check_names_all_that_is_wrong_with_the_host(l2sync: Run, tmp_path: Path, flags: list[str]) -> None:
    flags[flags.index("lo")] = "nosuch0"
    l2sync("init", *flags)
    (tmp_path / "etc/cluster.key").chmod(0o644)
    (tmp_path / "www").rmdir()
    status, _, err = l2sync("check", "--config", flags[1])
    assert status == 1
    assert "cluster.interface: there is no interface nosuch0" in err
    assert "chmod 600" in err
    assert f"tree[1].path: {tmp_path}/www: No such file or directory; mkdir -p" in err


def test_check_names_the_nearest_known_key(l2sync: Run, tmp_path: Path, flags: list[str]) -> None:
    l2sync("init", *flags)
    file = Path(flags[1])
    file.write_text(file.read_text().replace("interface =", "interfase ="))
    status, _, err = l2sync("check", "--config", file)
    assert status == 1
    assert 'cluster.interfase: this key is unknown; did you mean "interface"?' in err


def test_loopback_is_no_ethernet(l2sync: Run, flags: list[str]) -> None:
    l2sync("init", *flags)
    faults = host_faults(load_config(Path(flags[1])))
    assert "lo is no Ethernet interface" in [fault.reason for fault in faults]


def test_a_file_is_no_tree(l2sync: Run, tmp_path: Path, flags: list[str]) -> None:
    l2sync("init", *flags)
    (tmp_path / "www").rmdir()
    (tmp_path / "www").write_text("")
    faults = host_faults(load_config(Path(flags[1])))
    assert f"{tmp_path}/www is no directory" in [fault.reason for fault in faults]
