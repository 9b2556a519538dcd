"""The agent as a process: started, asked, told to reload, killed, ended."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from l2sync.agent.client import Client, NoAgent, RequestFailed
from l2sync.agent.keyfile import write_key
from l2sync.agent.protocol import FlushQuery, StatusQuery
from l2sync.cli.lab import Host, Lab

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("ip") is None, reason="needs root and namespaces"),
]


class Agent:
    """One host's agent."""

    def __init__(self, host: Host, directory: Path, key: Path) -> None:
        self.host = host
        self.tree, self.socket, self.log = directory / "tree", directory / "sock", directory / "log"
        self.config = directory / "l2sync.toml"
        self.tree.mkdir(parents=True)
        self.write(key, directory)
        self.process: subprocess.Popen[bytes] | None = None

    def write(self, key: Path, directory: Path) -> None:
        self.config.write_text(
            f'[cluster]\nname = "test"\nkey_file = "{key}"\ninterface = "eth0"\n'
            f'[node]\nname = "{directory.name}"\nstate_dir = "{directory}/state"\ncontrol_socket = "{self.socket}"\n'
            f'[[tree]]\nname = "t"\npath = "{self.tree}"\n'
        )

    def start(self, **environment: str) -> None:
        command = [sys.executable, "-m", "l2sync.cli", "run", "--config", str(self.config)]
        with open(self.log, "ab") as log:
            self.process = self.host.popen(command, stderr=log, env={**os.environ, **environment})

    def end(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(10)

    def status(self) -> dict[str, Any]:
        with Client(self.socket) as client:
            found: dict[str, Any] = client.ask(StatusQuery(), dict)
            return found

    def events(self) -> list[str]:
        return [json.loads(line)["event"] for line in self.log.read_text().splitlines()]

    def in_sync_with(self, others: int) -> bool:
        try:
            found = self.status()
        except (NoAgent, RequestFailed):
            return False
        return bool(found["in_sync"]) and sum(p["state"] == "online" for p in found["peers"]) == others


def until(true: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Agent, Agent]]:
    key = tmp_path / "key"
    write_key(key)
    with Lab(2) as lab:
        one, other = (Agent(host, tmp_path / f"web{host.number}", key) for host in lab.hosts)
        one.start()
        other.start()
        until(lambda: one.in_sync_with(1) and other.in_sync_with(1))
        yield one, other


def test_a_change_travels_and_a_flush_says_when_it_has_arrived(pair: tuple[Agent, Agent]):
    one, other = pair
    (one.tree / "file").write_text("hello")
    with Client(one.socket) as client:
        assert "other online node" in client.request(FlushQuery(None, 10)).text
    assert (other.tree / "file").read_text() == "hello"


def test_an_orderly_end_says_goodbye_and_exits_with_zero(pair: tuple[Agent, Agent]):
    one, other = pair
    assert one.end() == 0
    until(lambda: other.in_sync_with(0), 2)
    assert "stopping" in one.events() and not one.socket.exists()


def test_what_changed_while_an_agent_was_killed_is_made_up_for(pair: tuple[Agent, Agent]):
    one, other = pair
    one.end(signal.SIGKILL)
    (one.tree / "offline").write_text("1")
    (other.tree / "online").write_text("2")
    one.start()
    until(lambda: one.in_sync_with(1) and other.in_sync_with(1) and (other.tree / "offline").exists())
    assert (one.tree / "online").read_text() == "2"


def test_a_reload_takes_up_another_tree_and_refuses_nonsense(pair: tuple[Agent, Agent]):
    one, other = pair
    good = one.config.read_text()
    assert one.process is not None
    one.config.write_text(good + "nonsense = 1\n")
    one.process.send_signal(signal.SIGHUP)
    until(lambda: "not_reloaded" in one.events())
    assert one.in_sync_with(1)
    for agent in pair:
        assert agent.process is not None
        more = agent.tree.parent / "more"
        more.mkdir()
        agent.config.write_text(agent.config.read_text().replace("nonsense = 1\n", ""))
        with open(agent.config, "a") as config:
            config.write(f'[[tree]]\nname = "more"\npath = "{more}"\n')
        agent.process.send_signal(signal.SIGHUP)
    (one.tree.parent / "more" / "file").write_text("x")
    until(lambda: (other.tree.parent / "more" / "file").exists())


def test_a_second_agent_is_refused(pair: tuple[Agent, Agent]):
    one, _ = pair
    command = [sys.executable, "-m", "l2sync.cli", "run", "--config", str(one.config)]
    done = one.host.run(command, capture_output=True, text=True)
    assert done.returncode == 78 and "another agent" in done.stderr and "Traceback" not in done.stderr


def test_the_interface_may_come_later_and_another_mtu_is_taken_up(tmp_path: Path):
    key = tmp_path / "key"
    write_key(key)
    with Lab(2) as lab:
        one, other = (Agent(host, tmp_path / f"web{host.number}", key) for host in lab.hosts)
        lab.hosts[0].interface_down()
        one.start()
        other.start()
        until(one.socket.exists)
        with pytest.raises(RequestFailed, match="waiting for the interface"):
            one.status()
        lab.hosts[0].interface_up()
        until(lambda: one.in_sync_with(1) and other.in_sync_with(1))
        lab.set_mtu(9000)
        (one.tree / "file").write_bytes(os.urandom(100_000))
        until(lambda: "mtu_changed" in one.events() and "mtu_changed" in other.events())
        until(lambda: one.in_sync_with(1) and other.in_sync_with(1) and (other.tree / "file").exists())


def test_systemd_hears_of_readiness_life_and_end(tmp_path: Path):
    key = tmp_path / "key"
    write_key(key)
    told: list[str] = []
    with Lab(1) as lab, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(10)
        agent = Agent(lab.hosts[0], tmp_path / "web0", key)
        agent.start(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="400000")

        def hear(word: str) -> None:
            while not any(word in one for one in told):
                told.append(manager.recv(4096).decode())

        hear("READY=1")
        hear("WATCHDOG=1")
        hear("STATUS=in sync")
        assert agent.process is not None
        agent.process.send_signal(signal.SIGHUP)
        hear("RELOADING=1")
        assert agent.end() == 0
        hear("STOPPING=1")


def test_a_socket_that_cannot_be_made_is_told_in_one_line(tmp_path: Path):
    key = tmp_path / "key"
    write_key(key)
    with Lab(1) as lab:
        agent = Agent(lab.hosts[0], tmp_path / "web0", key)
        agent.socket.write_text("not a socket")
        agent.start()
        assert agent.process is not None
        assert agent.process.wait(10) == 78
        assert "control_socket" in agent.log.read_text() and "Traceback" not in agent.log.read_text()
