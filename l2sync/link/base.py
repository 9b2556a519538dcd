"""What every link offers, real or simulated, and how it fails.

A link carries payloads: what follows the 14 bytes of an Ethernet header. It promises nothing about
them: they may be lost, doubled, reordered, and shorter ones may arrive padded with zeros to 46 bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

BROADCAST = b"\xff" * 6
ETHERNET_HEADER = 14
MINIMUM_PAYLOAD = 46
"""Shorter payloads are padded on the wire (IEEE 802.3, 4.2.3.3)."""

Received = tuple[bytes, bytes]
"""A payload and the address (6 bytes) that it came from."""


class LinkError(Exception):
    """The link cannot do what it was asked to."""


class LinkDown(LinkError):
    """The interface is down or gone; `reopen()` works again when it is back."""

    def __init__(self, interface: str, reason: str) -> None:
        super().__init__(f"{interface}: {reason}")
        self.interface = interface
        self.reason = reason


class FrameTooLong(LinkError):
    """The payload is longer than the interface takes now; `refresh()` reads the new MTU."""


@dataclass(frozen=True, slots=True)
class LinkStatistics:
    """Counters since the link was made; they survive `reopen()`."""

    frames_in: int = 0
    bytes_in: int = 0
    frames_out: int = 0
    bytes_out: int = 0
    refused: int = 0
    """Frames that `send` did not take because a queue was full."""
    kernel_drops: int = 0
    """Frames that arrived and found no room in the receive buffer."""
    reopened: int = 0


class Link(Protocol):
    """One port on a segment; nothing here ever waits."""

    @property
    def mtu(self) -> int:
        """The longest payload in bytes, as it was when last read."""

    @property
    def mac(self) -> bytes:
        """This port's own address, 6 bytes."""

    def send(self, payload: bytes, address: bytes | None = None) -> bool:
        """Send to one address, or to all (None); False means: not taken, try again later.

        Raises LinkDown and FrameTooLong.
        """

    def send_run(self, payloads: Sequence[bytes], address: bytes | None = None) -> int:
        """Send them one after the other; how many were taken. Raises LinkDown and FrameTooLong, after those before."""

    def receive(self, limit: int = 64) -> list[Received]:
        """Take at most `limit` waiting payloads; an empty list means: none waits. Raises LinkDown."""

    def receive_unhurried(self, limit: int = 64) -> list[Received]:
        """Take at most `limit` payloads of the kinds that the link was told nobody waits for.

        They make no `fileno()` readable: whoever owns the link reads them when it is awake anyway, and before it judges
        what has not been heard. A link that is down has none; `receive` says so.
        """

    def refresh(self) -> bool:
        """Read MTU and address again; True when one of them changed. Raises LinkDown."""

    def reopen(self) -> None:
        """Attach to the interface anew. Raises LinkDown while it is not there or not up."""

    def statistics(self) -> LinkStatistics:
        """What went through, and what the kernel had to drop."""

    def close(self) -> None:
        """Give the interface back; what follows raises LinkDown."""
