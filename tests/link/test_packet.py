"""What only a real socket can get into."""

from __future__ import annotations

import socket
import subprocess

import pytest

from l2sync.cli.lab import INTERFACE
from l2sync.link import LinkDown, PacketLink
from l2sync.link.filters import accepts, assemble, instructions
from tests.link.harness import ETHERTYPE, TAG, PacketBench, is_down, payload, reopen

on_real_sockets = [pytest.mark.root, pytest.mark.slow]


def run(program: list[tuple[int, int, int, int]], frame: bytes, packet_type: int) -> int:
    """What the kernel's machine makes of a program; out of bounds rejects, as there."""
    counter = accumulator = 0
    while True:
        operation, on_true, on_false, operand = program[counter]
        counter += 1
        if operation == 0x06:
            return operand
        if operation in (0x20, 0x28, 0x30):
            size = {0x20: 4, 0x28: 2, 0x30: 1}[operation]
            if operand == 0xFFFFF004:
                accumulator = packet_type
            elif operand + size > len(frame):
                return 0
            else:
                accumulator = int.from_bytes(frame[operand : operand + size])
        elif operation == 0x15:
            counter += on_true if accumulator == operand else on_false
        elif operation == 0x35:
            counter += on_true if accumulator >= operand else on_false
        else:
            raise AssertionError(f"unknown operation {operation:#x}")


@pytest.mark.parametrize(
    ("ethertype", "data", "packet_type", "passes"),
    [
        (ETHERTYPE, payload(1), 0, True),
        (ETHERTYPE, payload(1), 1, True),
        (ETHERTYPE, payload(1), 2, True),
        (ETHERTYPE, payload(1), 3, False),
        (ETHERTYPE, payload(1), 4, False),
        (0x0800, payload(1), 1, False),
        (ETHERTYPE, payload(1, tag=b"\x01\x02\x03\x05"), 1, False),
        (ETHERTYPE, b"L3" + payload(1)[2:], 1, False),
        (ETHERTYPE, payload(1)[:7], 1, False),
        (ETHERTYPE, b"", 1, False),
    ],
)
def test_the_filter_passes_our_clusters_frames_only(
    ethertype: int, data: bytes, packet_type: int, passes: bool
) -> None:
    frame = bytes(12) + ethertype.to_bytes(2) + data
    # Sorted out by kinds that it is not of, it passes where it passed, and the others' filter holds it back.
    assert bool(run(instructions(ETHERTYPE, TAG, b"\x08\x17"), frame, packet_type)) == passes
    assert not run(instructions(ETHERTYPE, TAG, b"\x08\x17", True), frame, packet_type)
    assert bool(run(instructions(ETHERTYPE, TAG), frame, packet_type)) == passes
    if ethertype == ETHERTYPE and packet_type < 3:
        assert accepts(data, TAG) == passes


@pytest.mark.parametrize(("kind", "apart"), [(0x08, True), (0x17, True), (0x0C, False), (0x00, False), (0xFF, False)])
def test_the_filters_of_two_sockets_share_all_frames(kind: int, apart: bool) -> None:
    frame = bytes(12) + ETHERTYPE.to_bytes(2) + payload(1, kind=kind)
    for kinds in (b"\x08\x17", b"\x17\x08"):
        assert bool(run(instructions(ETHERTYPE, TAG, kinds), frame, 1)) is not apart
        assert bool(run(instructions(ETHERTYPE, TAG, kinds, True), frame, 1)) is apart
    assert run(instructions(ETHERTYPE, TAG, b"\x17\x08", True), frame, 3) == 0


def test_the_filter_is_eight_bytes_an_instruction() -> None:
    program = instructions(ETHERTYPE, TAG)
    assert len(assemble(program)) == 8 * len(program)


def test_a_tag_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="4 bytes"):
        instructions(ETHERTYPE, b"abc")


def test_an_interface_that_does_not_exist_is_down() -> None:
    try:
        with pytest.raises(LinkDown, match="no such interface"):
            PacketLink("l2s-nowhere", ETHERTYPE, TAG)
    except PermissionError:
        pytest.skip("a raw socket needs CAP_NET_RAW")


class TestOnRealSockets:
    pytestmark = on_real_sockets

    def test_an_interface_removed_and_made_again_is_survived(self, packet_bench: PacketBench) -> None:
        link, host = packet_bench.links[1], packet_bench.lab.hosts[1]
        before = link.mac
        host.remove_interface()
        assert is_down(link)
        with pytest.raises(LinkDown):
            link.send(payload(1))
        with pytest.raises(LinkDown, match="no such interface"):
            reopen(packet_bench, 1)
        host.restore_interface()
        reopen(packet_bench, 1)
        assert link.mac != before
        packet_bench.links[0].send(payload(2))
        assert packet_bench.collect(1, 1) == [(payload(2), packet_bench.links[0].mac)]
        link.send(payload(3))
        assert packet_bench.collect(0, 1) == [(payload(3), link.mac)]

    def test_a_pulled_cable_loses_frames_without_an_error(self, packet_bench: PacketBench) -> None:
        host = packet_bench.lab.hosts[1]
        host.pull_cable()
        assert packet_bench.links[1].send(payload(1))
        packet_bench.links[0].send(payload(2))
        host.plug_cable()
        packet_bench.links[0].send(payload(3))
        assert [data for data, _ in packet_bench.collect(1, 1)] == [payload(3)]

    def test_what_the_receive_buffer_cannot_hold_is_counted(self, packet_bench: PacketBench) -> None:
        link = packet_bench.links[1]
        with socket.socket(fileno=socket.dup(link.fileno())) as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        for number in range(100):
            packet_bench.links[0].send(payload(number, 1500))
        received = len(packet_bench.collect(1, 0))
        assert 0 < received < 100
        assert link.statistics().kernel_drops == 100 - received
        assert link.statistics().kernel_drops == 100 - received, "reading the kernel's counter resets it"

    def test_a_queue_that_drops_is_backpressure_too(self, packet_bench: PacketBench) -> None:
        packet_bench.shape(10)
        where = f"tc -n {packet_bench.lab.hosts[0].namespace} qdisc replace dev {INTERFACE} root"
        subprocess.run(f"{where} tbf rate 10mbit burst 3000 limit 15000".split(), check=True)
        link = packet_bench.links[0]
        taken = 0
        while link.send(payload(taken, 1500)):
            taken += 1
            assert taken < 1000, "the link never refused"
        assert link.queue_full
        assert len(packet_bench.collect(1, taken)) == taken
