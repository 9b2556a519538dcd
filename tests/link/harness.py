"""One shape for the two kinds of segment that the conformance suite runs on."""

from __future__ import annotations

import select
from abc import ABC, abstractmethod
from collections.abc import Sequence
from random import Random

from l2sync.cli.lab import INTERFACE, Lab
from l2sync.link import Link, LinkDown, PacketLink, Received, Rules, SimulatedLink, SimulatedSegment

ETHERTYPE = 0x88B5
TAG = b"\x01\x02\x03\x04"
GROUP = b"\x03\x4c" + TAG
UNHURRIED = b"\x08\x17"
"""Kinds of frames that nobody waits for."""


def payload(number: int, size: int = 100, tag: bytes = TAG, kind: int = 0x0C) -> bytes:
    """A payload that the filter lets through, and that can be told from others by its number."""
    return (b"L2\x01" + bytes([kind]) + tag + number.to_bytes(4)).ljust(size, b".")


class Bench(ABC):
    """Links on one segment, and hands on its cables."""

    links: Sequence[Link]

    @abstractmethod
    def collect(self, index: int, count: int) -> list[Received]:
        """Let everything arrive, and take what link `index` got; `count` payloads are waited for."""

    @abstractmethod
    def stranger(self, tag: bytes) -> Link:
        """One more link at the place of link 0, for another cluster."""

    @abstractmethod
    def interface_down(self, index: int) -> None: ...

    @abstractmethod
    def interface_up(self, index: int) -> None: ...

    @abstractmethod
    def set_mtu(self, mtu: int) -> None: ...

    @abstractmethod
    def shape(self, rate: float) -> None:
        """Mbit/s of each port."""

    @abstractmethod
    def close(self) -> None: ...


class SimulatedBench(Bench):
    def __init__(self, hosts: int) -> None:
        self.segment = SimulatedSegment(Random(1), Rules())
        self.links: list[SimulatedLink] = [SimulatedLink(self.segment, TAG, UNHURRIED) for _ in range(hosts)]
        self.everyone = list(self.links)

    def collect(self, index: int, count: int) -> list[Received]:
        while (when := self.segment.next_time()) is not None:
            for link in self.everyone:
                link.now = when
            for _, port, data, source in self.segment.deliver(when):
                self.everyone[port].arrive(data, source)
        return self.links[index].receive(10_000)

    def stranger(self, tag: bytes) -> Link:
        link = SimulatedLink(self.segment, tag)
        self.everyone.append(link)
        return link

    def interface_down(self, index: int) -> None:
        self.segment.set_down(index)

    def interface_up(self, index: int) -> None:
        self.segment.set_down(index, False)

    def set_mtu(self, mtu: int) -> None:
        self.segment.set_rules(mtu=mtu)

    def shape(self, rate: float) -> None:
        self.segment.set_rules(rate=round(rate * 1e6))

    def close(self) -> None:
        for link in self.everyone:
            link.close()


class PacketBench(Bench):
    """Real sockets; the lab is kept from test to test, since making one costs more than a test."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.links: list[PacketLink] = [self.open(index) for index in range(len(lab.hosts))]
        self.strangers: list[PacketLink] = []

    def open(self, index: int, tag: bytes = TAG) -> PacketLink:
        with self.lab.hosts[index].entered():
            return PacketLink(INTERFACE, ETHERTYPE, tag, GROUP, UNHURRIED)

    def collect(self, index: int, count: int) -> list[Received]:
        link, received = self.links[index], list[Received]()
        while len(received) < count and select.select([link], [], [], 2.0)[0]:
            received += link.receive(10_000)
        if not count:
            select.select([link], [], [], 0.02)
            received += link.receive(10_000)
        return received

    def stranger(self, tag: bytes) -> Link:
        self.strangers.append(self.open(0, tag))
        return self.strangers[-1]

    def interface_down(self, index: int) -> None:
        self.lab.hosts[index].interface_down()

    def interface_up(self, index: int) -> None:
        self.lab.hosts[index].interface_up()

    def set_mtu(self, mtu: int) -> None:
        self.lab.set_mtu(mtu)

    def shape(self, rate: float) -> None:
        self.lab.shape(rate)

    def close(self) -> None:
        for link in [*self.links, *self.strangers]:
            link.close()
        self.lab.shape(0)
        self.lab.set_mtu(1500)
        for host in self.lab.hosts:
            host.interface_up()


def reopen(bench: Bench, index: int) -> None:
    """Reopen as the agent would, from within the host's own namespace."""
    if isinstance(bench, PacketBench):
        with bench.lab.hosts[index].entered():
            bench.links[index].reopen()
    else:
        bench.links[index].reopen()


def is_down(link: Link) -> bool:
    try:
        link.receive()
    except LinkDown:
        return True
    return False
