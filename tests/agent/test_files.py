"""Key file, registry, and the lock on the state directory."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from l2sync.agent.faults import ConfigError
from l2sync.agent.instance import only_agent
from l2sync.agent.keyfile import read_keys, write_key
from l2sync.agent.machine import claim_state
from l2sync.agent.registry import load_registry, save_registry


def test_a_state_directory_of_another_machine_is_refused_and_both_are_named(tmp_path: Path):
    state, machine = tmp_path / "state", tmp_path / "machine-id"
    state.mkdir()
    machine.write_text("aaaa\n")
    claim_state(state, "web1", "c.toml", machine)
    claim_state(state, "web1-renamed", "c.toml", machine)
    machine.write_text("bbbb\n")
    with pytest.raises(ConfigError) as refused:
        claim_state(state, "web2", "c.toml", machine)
    (fault,) = refused.value.faults
    assert "web1-renamed on machine aaaa" in fault.reason and "web2 on machine bbbb" in fault.reason
    assert "if this host is a copy, delete" in fault.remedy
    (state / "machine.json").unlink()
    claim_state(state, "web2", "c.toml", machine)


@pytest.mark.parametrize("text", ["", "uninitialized\n", None])
def test_a_host_without_a_machine_id_is_taken_at_its_word(tmp_path: Path, text: str | None):
    machine = tmp_path / "machine-id"
    if text is not None:
        machine.write_text(text)
    claim_state(tmp_path, "web1", "c.toml", machine)
    assert not (tmp_path / "machine.json").exists()


def test_a_new_key_can_be_read_and_nobody_else_may(tmp_path: Path):
    file = tmp_path / "key"
    write_key(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    ((number, key),) = read_keys(file).items()
    assert number == 1 and len(key) == 32


def test_two_keys_differ(tmp_path: Path):
    write_key(tmp_path / "a")
    write_key(tmp_path / "b")
    assert read_keys(tmp_path / "a") != read_keys(tmp_path / "b")


def test_the_mode_does_not_depend_on_the_umask(tmp_path: Path):
    before = os.umask(0)
    try:
        write_key(tmp_path / "key")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_a_key_is_never_overwritten(tmp_path: Path):
    (tmp_path / "key").write_text("mine")
    with pytest.raises(FileExistsError):
        write_key(tmp_path / "key")
    assert (tmp_path / "key").read_text() == "mine"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o660, 0o777, 0o601])
def test_a_key_open_to_others_is_refused(tmp_path: Path, mode: int):
    file = tmp_path / "key"
    write_key(file)
    file.chmod(mode)
    with pytest.raises(ConfigError, match="chmod 600"):
        read_keys(file)


@pytest.mark.parametrize("text", ["", "1 abc", "300 " + "0" * 64, "1 " + "0" * 63 + "x", f"1 {'0' * 64}\n1 {'1' * 64}"])
def test_what_is_no_key_file_is_refused_without_showing_it(tmp_path: Path, text: str):
    file = tmp_path / "key"
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(ConfigError) as caught:
        read_keys(file)
    assert "0" * 20 not in str(caught.value)


def test_a_missing_key_names_the_way_to_make_one(tmp_path: Path):
    with pytest.raises(ConfigError, match="keygen"):
        read_keys(tmp_path / "key")


def test_a_directory_is_no_key(tmp_path: Path):
    with pytest.raises(ConfigError):
        read_keys(tmp_path)


def test_the_first_key_is_the_active_one(tmp_path: Path):
    file = tmp_path / "key"
    file.write_text(f"# two\n7 {'a' * 64}\n2 {'b' * 64}\n")
    file.chmod(0o600)
    assert list(read_keys(file)) == [7, 2]


def test_the_registry_comes_back(tmp_path: Path):
    save_registry(tmp_path, {"web1": 0, "wéb2": 65000})
    assert load_registry(tmp_path) == {"web1": 0, "wéb2": 65000}
    save_registry(tmp_path, {"web1": 3})
    assert load_registry(tmp_path) == {"web1": 3}


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"a":"b"}', b"\xff"])
def test_a_spoilt_registry_is_an_empty_one(tmp_path: Path, content: bytes):
    save_registry(tmp_path, {"a": 1})
    (file,) = tmp_path.iterdir()
    file.write_bytes(content)
    assert load_registry(tmp_path) == {}


def test_a_state_directory_admits_one_agent(tmp_path: Path):
    state = tmp_path / "a" / "state"
    with only_agent(state, "f"), pytest.raises(ConfigError, match=str(os.getpid())), only_agent(state, "f"):
        raise AssertionError
    with only_agent(state, "f"):
        pass


def test_a_state_directory_that_cannot_be_made_is_told(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="state_dir"), only_agent(tmp_path / "file" / "state", "f"):
        raise AssertionError
