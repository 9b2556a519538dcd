"""The lab makes what it says, and leaves nothing behind, however it ends."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from l2sync.cli.lab import INTERFACE, Host, Lab, LabError, sweep

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("ip") is None, reason="namespaces need root and iproute2"),
]

needs_nft = pytest.mark.skipif(shutil.which("nft") is None, reason="needs nftables")

ETHERTYPE = 0x88B5


def namespaces(prefix: str) -> list[str]:
    return sorted(path.name for path in Path("/run/netns").glob(f"{prefix}*"))


def raw_socket(host: Host) -> socket.socket:
    with host.entered():
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERTYPE))
    raw.bind((INTERFACE, ETHERTYPE))
    raw.setsockopt(socket.SOL_SOCKET, 33, 4 << 20)  # SO_RCVBUFFORCE: all of a test's frames find room
    raw.settimeout(0.5)
    return raw


def broadcast(raw: socket.socket, payload: bytes) -> None:
    raw.send(b"\xff" * 6 + raw.getsockname()[4] + ETHERTYPE.to_bytes(2) + payload)


def count(raw: socket.socket) -> int:
    heard = 0
    raw.settimeout(0.2)
    try:
        while raw.recv(2000):
            heard += 1
    except TimeoutError:
        return heard
    return heard


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab(3) as made:
        yield made


def test_hosts_hear_each_other_and_nothing_is_left_afterwards() -> None:
    with Lab(3, mtu=9000) as lab:
        sender, *receivers = [raw_socket(host) for host in lab.hosts]
        broadcast(sender, bytes(9000))
        assert [len(raw.recv(10_000)) for raw in receivers] == [9014, 9014]
        assert len(namespaces(lab.name)) == 4
        name = lab.name
    assert namespaces(name) == []


def test_only_our_own_frames_are_on_a_fresh_segment(lab: Lab) -> None:
    raw = raw_socket(lab.hosts[0])
    before = lab.traffic()
    broadcast(raw, bytes(100))
    time.sleep(0.05)
    after = lab.traffic()
    assert after[0].sent - before[0].sent == 114
    assert [now.frames_received - then.frames_received for now, then in zip(after, before, strict=True)] == [0, 1, 1]


def test_a_failure_inside_removes_the_lab() -> None:
    with pytest.raises(ZeroDivisionError), Lab(1) as lab:
        name = lab.name
        raise ZeroDivisionError
    assert namespaces(name) == []


def test_a_lab_that_cannot_be_built_leaves_nothing() -> None:
    lab = Lab(2, mtu=1)  # no interface takes that
    with pytest.raises(LabError), lab:
        pass
    assert namespaces(lab.name) == []


def test_what_runs_inside_ends_with_the_lab() -> None:
    with Lab(1) as lab:
        started = lab.hosts[0].popen(["sleep", "600"])
        # a daemon, which leaves its parent and is found by its namespace only
        answer = lab.hosts[0].run(
            ["sh", "-c", "setsid sleep 600 >/dev/null 2>&1 & echo $!"], capture_output=True, text=True, check=True
        )
        daemon = int(answer.stdout)
        assert Path(f"/proc/{daemon}").exists()
    assert started.poll() is not None
    deadline = time.monotonic() + 5
    while is_running(daemon) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_running(daemon)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


CHILD = """
import sys, time
from l2sync.cli.lab import Lab
with Lab(1) as lab:
    lab.hosts[0].popen(["sleep", "600"], stdout=-3)
    print(lab.name, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def child() -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_remove_the_lab(child: subprocess.Popen[str], number: signal.Signals) -> None:
    assert child.stdout is not None
    name = child.stdout.readline().strip()
    assert len(namespaces(name)) == 2
    child.send_signal(number)
    assert child.wait(10) != 0
    assert namespaces(name) == []


def test_what_a_killed_process_left_is_swept(child: subprocess.Popen[str]) -> None:
    assert child.stdout is not None
    name = child.stdout.readline().strip()
    child.kill()
    child.wait()
    assert len(namespaces(name)) == 2
    assert {found for found in sweep() if found.startswith(name)} == {f"{name}-bridge", f"{name}-h0"}
    assert namespaces(name) == []


KEEPER = CHILD.replace("time.sleep(600)", "lab.keep()")


def test_a_lab_that_is_kept_stays_until_asked_for() -> None:
    done = subprocess.run([sys.executable, "-c", KEEPER], stdout=subprocess.PIPE, text=True, check=True, timeout=20)
    name = done.stdout.strip()
    sweep()
    assert len(namespaces(name)) == 2
    assert f"{name}-h0" in sweep(kept=True)
    assert namespaces(name) == []


def test_the_living_are_not_swept(lab: Lab) -> None:
    before = namespaces(lab.name)
    assert not set(sweep()) & set(before)
    assert namespaces(lab.name) == before


def test_a_host_without_cable_hears_nothing_until_it_is_plugged_in_again(lab: Lab) -> None:
    sender, receiver, other = [raw_socket(host) for host in lab.hosts]
    lab.hosts[1].pull_cable()
    broadcast(sender, b"lost")
    assert other.recv(2000).endswith(b"lost")
    lab.hosts[1].plug_cable()
    broadcast(sender, b"heard")
    assert receiver.recv(2000).endswith(b"heard")


@needs_nft
def test_loss_reaches_the_named_receivers_only_and_ends(lab: Lab) -> None:
    sender, lossy, whole = [raw_socket(host) for host in lab.hosts]
    lab.lose(0.5, to=[lab.hosts[1]], ethertype=ETHERTYPE)
    for _ in range(400):
        broadcast(sender, bytes(50))
    assert count(whole) == 400
    assert 100 < count(lossy) < 300
    lab.lose(0)
    broadcast(sender, bytes(50))
    assert count(lossy) == 1


@needs_nft
def test_losing_all_of_another_protocol_spares_ours(lab: Lab) -> None:
    sender, receiver, _ = [raw_socket(host) for host in lab.hosts]
    lab.lose(1, ethertype=ETHERTYPE + 1)
    broadcast(sender, bytes(50))
    assert count(receiver) == 1


def test_a_shaped_port_passes_what_its_rate_allows(lab: Lab) -> None:
    sender, receiver, _ = [raw_socket(host) for host in lab.hosts]
    receiver.settimeout(2)
    lab.shape(10)
    begin = time.monotonic()
    for _ in range(200):  # 2.4 Mbit, of which the bucket lets some through at once
        broadcast(sender, bytes(1486))
    for _ in range(200):
        receiver.recv(2000)
    assert time.monotonic() - begin > 0.1
    lab.shape(0)


def test_a_host_can_be_added_to_a_running_lab(lab: Lab) -> None:
    late = raw_socket(lab.add_host())
    broadcast(raw_socket(lab.hosts[0]), b"welcome")
    assert late.recv(2000).endswith(b"welcome")


def test_addresses_come_with_a_broadcast_address() -> None:
    with Lab(2, addresses=True) as lab:
        shown = lab.hosts[1].run(["ip", "-4", "addr", "show", INTERFACE], capture_output=True, text=True, check=True)
        assert "10.77.0.2/16 brd 10.77.255.255" in shown.stdout
