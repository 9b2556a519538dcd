"""The Ethernet socket: AF_PACKET, filtered in the kernel, never waiting.

Backpressure comes from the socket: its send buffer is kept small, so that frames wait with us, who can
still decide which goes next, and not in the kernel. The receive buffer is as large as we can have it.

An interface that goes down leaves the socket usable for when it comes up; one that is removed and made
again (a bridge port, a USB adapter) does not. Both are reported as `LinkDown`, and mended by `reopen()`.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import socket
import struct
from collections.abc import Sequence
from dataclasses import replace

from l2sync.link.base import BROADCAST, ETHERNET_HEADER, FrameTooLong, LinkDown, LinkStatistics, Received
from l2sync.link.filters import assemble, instructions

RECEIVE_BUFFER = 32 << 20
UNHURRIED_BUFFER = 4 << 20
"""Some thousand frames."""
SEND_BUFFER = 256 << 10
"""Bytes, of which the kernel makes double for its own overhead: some 220 frames of 1500 bytes."""

# Not in the socket module: asm-generic/socket.h, linux/if_packet.h, linux/sockios.h, linux/if.h
_SO_ATTACH_FILTER = 26
_SO_SNDBUFFORCE = 32
_SO_RCVBUFFORCE = 33
_SOL_PACKET = 263
_PACKET_STATISTICS = 6
_PACKET_ADD_MEMBERSHIP = 1
_PACKET_MR_MULTICAST = 0
_PACKET_IGNORE_OUTGOING = 23
_SIOCGIFFLAGS = 0x8913
_SIOCGIFMTU = 0x8921
_IFF_UP = 0x1

_DOWN = frozenset({errno.ENETDOWN, errno.ENXIO, errno.ENODEV, errno.ENETUNREACH, errno.EBADF})
_FULL = frozenset({errno.EAGAIN, errno.ENOBUFS})


class PacketLink:
    """A port on the segment behind `interface`, for frames of one cluster. Needs CAP_NET_RAW.

    ``group``: a multicast address (6 bytes) to listen to besides broadcast and the port's own. ``unhurried``: kinds of
    frames (the payload's fourth byte) that wake nobody: `receive_unhurried` has them, from a socket of their own.

    Raises LinkDown when the interface is missing or down, PermissionError without the capability.
    """

    def __init__(
        self,
        interface: str,
        ethertype: int,
        cluster_tag: bytes,
        group: bytes | None = None,
        unhurried: bytes = b"",
    ) -> None:
        self.interface = interface
        self.group = group
        self.ethertype = ethertype
        self._program = assemble(instructions(ethertype, cluster_tag, unhurried))
        self._aside = assemble(instructions(ethertype, cluster_tag, unhurried, True)) if unhurried else b""
        self._broadcast_header = b""
        self._source = b""
        self._mtu = 0
        self._room = 0
        self._totals = LinkStatistics()
        self._frames_in = self._bytes_in = self._frames_out = self._bytes_out = self._refused = 0
        self.queue_full = False
        """The last refusal came from the interface's queue: that the socket is writable says nothing about it."""
        self._pending: Exception | None = None
        self._socket: socket.socket | None = None
        self._unhurried: socket.socket | None = None
        self._attach(*self._open())

    # State

    @property
    def mtu(self) -> int:
        """The longest payload in bytes, as it was when last read."""
        return self._mtu

    @property
    def mac(self) -> bytes:
        """This interface's address, as it was when last read."""
        return self._source

    def fileno(self) -> int:
        """The socket, to wait on; another one after `reopen()`. Raises LinkDown when closed."""
        return self._live().fileno()

    def statistics(self) -> LinkStatistics:
        """Counters since the link was made; the kernel's own are reset by each reading, so they are summed here."""
        if self._socket is not None:
            drops = sum(_read_drops(raw) for raw in (self._socket, self._unhurried) if raw is not None)
            self._totals = replace(self._totals, kernel_drops=self._totals.kernel_drops + drops)
        return replace(
            self._totals,
            frames_in=self._frames_in,
            bytes_in=self._bytes_in,
            frames_out=self._frames_out,
            bytes_out=self._bytes_out,
            refused=self._refused,
        )

    # Traffic

    def send(self, payload: bytes, address: bytes | None = None) -> bool:
        """Send to one address, or to all (None); False: no room, try again when writable (but see `queue_full`).

        Raises LinkDown and FrameTooLong.
        """
        return self.send_run((payload,), address) == 1

    def send_run(self, payloads: Sequence[bytes], address: bytes | None = None) -> int:
        """Send them one after the other; how many were taken. Raises LinkDown and FrameTooLong, after those before."""
        header = self._broadcast_header if address is None else address + self._broadcast_header[6:]
        send, taken, size = self._live().send, 0, 0
        try:
            for payload in payloads:
                size += send(header + payload)
                taken += 1
        except OSError as error:
            if error.errno not in _FULL:
                raise self._explain(error, len(payloads[taken])) from error
            # ENOBUFS: a queueing discipline dropped the frame. To us both mean: later.
            self.queue_full = error.errno == errno.ENOBUFS
            self._refused += 1
        finally:
            self._frames_out += taken
            self._bytes_out += size - taken * ETHERNET_HEADER
        return taken

    def receive(self, limit: int = 64) -> list[Received]:
        """Take at most `limit` waiting payloads; call again until the list is empty. Raises LinkDown.

        What is longer than the MTU that was last read arrives cut off.
        """
        # One recv a frame: recvmmsg by ctypes was measured, and is slower (1.24 against 1.15 us a frame).
        if self._pending is not None:
            pending, self._pending = self._pending, None
            raise pending
        received: list[Received] = []
        take, room = self._live().recv, self._room
        try:
            for _ in range(limit):
                frame = take(room)
                received.append((frame[ETHERNET_HEADER:], frame[6:12]))
        except BlockingIOError:
            pass
        except OSError as error:
            if not received:
                raise self._explain(error, 0) from error
            # What was read is still good. The kernel tells an error once only, so it is kept for the next call.
            self._pending = self._explain(error, 0)
        self._frames_in += len(received)
        self._bytes_in += sum(len(payload) for payload, _ in received)
        return received

    def receive_unhurried(self, limit: int = 64) -> list[Received]:
        """Take at most `limit` payloads of kinds that nobody waits for; none from a link that is down."""
        received: list[Received] = []
        if self._unhurried is None:
            return received
        # An error is told by the other socket as well, which is bound to the same interface.
        with contextlib.suppress(OSError):
            while len(received) < limit:
                frame = self._unhurried.recv(self._room)
                received.append((frame[ETHERNET_HEADER:], frame[6:12]))
        self._frames_in += len(received)
        self._bytes_in += sum(len(payload) for payload, _ in received)
        return received

    # The interface

    def refresh(self) -> bool:
        """Read MTU and address again; True when one of them changed. Raises LinkDown."""
        before = (self._mtu, self._source)
        self._read_interface(self._live())
        return before != (self._mtu, self._source)

    def reopen(self) -> None:
        """Attach to the interface of this name anew. Raises LinkDown while it is not there or not up.

        `fileno()` is another one afterwards, and the old one is closed: whoever waits on it must be told before.
        """
        self._attach(*self._open())
        self._totals = replace(self._totals, reopened=self._totals.reopened + 1)

    def close(self) -> None:
        """Give the interface back; what follows raises LinkDown."""
        if self._socket is not None:
            self.statistics()
            self._socket.close()
            self._socket = None
        if self._unhurried is not None:
            self._unhurried.close()
            self._unhurried = None

    def _live(self) -> socket.socket:
        if self._socket is None:
            raise LinkDown(self.interface, "the link is closed")
        return self._socket

    def _open(self) -> tuple[socket.socket, socket.socket | None]:
        raw = self._bind(self._program, RECEIVE_BUFFER)
        if not self._aside:
            return raw, None
        try:
            return raw, self._bind(self._aside, UNHURRIED_BUFFER)
        except BaseException:
            raw.close()
            raise

    def _bind(self, program: bytes, room: int) -> socket.socket:
        # Protocol 0: nothing is received before the filter is in place and the socket bound.
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        try:
            _attach_filter(raw, program)
            _set_buffer(raw, _SO_RCVBUFFORCE, socket.SO_RCVBUF, room)
            _set_buffer(raw, _SO_SNDBUFFORCE, socket.SO_SNDBUF, SEND_BUFFER)
            raw.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
            raw.bind((self.interface, self.ethertype))
            if self.group is not None:
                _join(raw, self.interface, self.group)
            flags = _ask_interface(raw, self.interface, _SIOCGIFFLAGS)
            if not struct.unpack_from("=H", flags)[0] & _IFF_UP:
                raise LinkDown(self.interface, "the interface is down")
        except OSError as error:
            raw.close()
            raise self._explain(error, 0) from error
        except BaseException:
            raw.close()
            raise
        return raw

    def _attach(self, raw: socket.socket, unhurried: socket.socket | None) -> None:
        try:
            self._read_interface(raw)
        except BaseException:
            raw.close()
            if unhurried is not None:
                unhurried.close()
            raise
        self.close()
        self._socket, self._unhurried, self._pending = raw, unhurried, None
        self.queue_full = False

    def _read_interface(self, raw: socket.socket) -> None:
        try:
            self._mtu = struct.unpack_from("=i", _ask_interface(raw, self.interface, _SIOCGIFMTU))[0]
            self._source = raw.getsockname()[4][:6]
        except OSError as error:
            raise self._explain(error, 0) from error
        self._broadcast_header = BROADCAST + self._source + struct.pack(">H", self.ethertype)
        self._room = ETHERNET_HEADER + self._mtu

    def _explain(self, error: OSError, length: int) -> Exception:
        """The error in the link's own terms, where it has one."""
        if error.errno in _DOWN:
            reason = "the interface is down" if error.errno == errno.ENETDOWN else "there is no such interface"
            return LinkDown(self.interface, reason)
        if error.errno == errno.EMSGSIZE:
            return FrameTooLong(f"{self.interface}: {length} bytes are more than the interface takes now")
        return error


def _attach_filter(raw: socket.socket, program: bytes) -> None:
    # struct sock_fprog: a count, and a pointer that is read during the call only.
    buffer = ctypes.create_string_buffer(program, len(program))
    raw.setsockopt(
        socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    )


def _join(raw: socket.socket, interface: str, group: bytes) -> None:
    # struct packet_mreq: index, type, length of the address, address. It ends with the socket.
    request = struct.pack("=iHH8s", socket.if_nametoindex(interface), _PACKET_MR_MULTICAST, len(group), group)
    raw.setsockopt(_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, request)


def _set_buffer(raw: socket.socket, forced: int, plain: int, size: int) -> None:
    # Beyond the limit of net.core.rmem_max and wmem_max only CAP_NET_ADMIN may go.
    try:
        raw.setsockopt(socket.SOL_SOCKET, forced, size)
    except PermissionError:
        raw.setsockopt(socket.SOL_SOCKET, plain, size)


def _ask_interface(raw: socket.socket, interface: str, request: int) -> bytes:
    """The union of `struct ifreq` that follows the name. Raises OSError (ENODEV: no such interface)."""
    return fcntl.ioctl(raw.fileno(), request, struct.pack("16s24x", interface.encode()))[16:]


def _read_drops(raw: socket.socket) -> int:
    drops: int = struct.unpack("=II", raw.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))[1]
    return drops
