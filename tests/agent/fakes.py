"""A node and a link that do as the test says, and note what was done to them."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

import trio

from l2sync.link import LinkDown, LinkStatistics
from l2sync.modtree import TreePath
from l2sync.node import api
from l2sync.node.status import NodeInfo, Status


class FakeLink:
    """A link whose other end is a socket in the test's hands."""

    def __init__(self) -> None:
        self.mtu = 1500
        self.mac = b"\x02" * 6
        self.queue_full = False
        self.down = False
        self.full = 0
        """So many times it is."""
        self.room: int | None = None
        """After so many frames it is full once."""
        self.sent: list[bytes] = []
        self.reopened = 0
        self.unhurried: list[tuple[bytes, bytes]] = []
        self.flood: tuple[bytes, bytes] | None = None
        """A frame of which nobody waits for any, and of which there is no end."""
        self.unhurried_read = 0
        self._own, self.other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._own.setblocking(False)

    def fileno(self) -> int:
        return self._own.fileno()

    def send(self, payload: bytes, address: bytes | None = None) -> bool:
        if self.down:
            raise LinkDown("fake0", "the interface is down")
        if self.full:
            self.full -= 1
            return False
        if self.room == 0:
            self.room = None
            return False
        if self.room is not None:
            self.room -= 1
        self.sent.append(payload)
        return True

    def send_run(self, payloads: Sequence[bytes], address: bytes | None = None) -> int:
        for taken, payload in enumerate(payloads):
            if not self.send(payload, address):
                return taken
        return len(payloads)

    def receive(self, limit: int = 64) -> list[tuple[bytes, bytes]]:
        if self.down:
            self._own.recv(65536)
            raise LinkDown("fake0", "the interface is down")
        found = []
        try:
            while len(found) < limit:
                found.append((self._own.recv(65536), b"\x04" * 6))
        except BlockingIOError:
            pass
        return found

    def receive_unhurried(self, limit: int = 64) -> list[tuple[bytes, bytes]]:
        found, self.unhurried = self.unhurried[:limit], self.unhurried[limit:]
        if self.flood is not None:
            found += [self.flood] * (limit - len(found))
        self.unhurried_read += len(found)
        return found

    def refresh(self) -> bool:
        return False

    def reopen(self) -> None:
        if self.down:
            raise LinkDown("fake0", "the interface is down")
        self.reopened += 1

    def statistics(self) -> LinkStatistics:
        return LinkStatistics(kernel_drops=3)

    def close(self) -> None:
        self._own.close()
        self.other.close()


class FakeNode:
    """Returns the effects that were put into it."""

    def __init__(self) -> None:
        self.seen: list[object] = []
        self.effects: list[api.Effect] = []
        self.deadline: int | None = None
        self.on_request: list[api.Effect] = []
        self.conflicting: list[TreePath] = []
        self.fail_on: bytes | None = None
        self.refused: str | None = None
        self.timers = 0
        self.attentive = False
        self.to_come: int | None = None
        self.times: list[int] = []
        """When frames and timers were handed over."""
        self.walls: list[int] = []

    def tell_wall(self, wall: int, now: int) -> None:
        self.walls.append(wall)

    def start(self, now: int) -> None:
        self.seen.append("start")

    def receive_run(self, frames: Sequence[tuple[bytes, bytes | None]], at: int, now: int) -> int:
        if frames[at][0] == self.fail_on:
            raise RuntimeError("a bug")
        self.seen.append(frames[at][0])
        self.times.append(now)
        return at + 1

    def disk_reported(self, event: api.DiskEvent, now: int) -> None:
        self.seen.append(event)

    def submit(self, request: api.Request, now: int) -> None:
        self.seen.append(request)
        self.effects += self.answer(request)

    def answer(self, request: api.Request) -> list[api.Effect]:
        return []

    def handle_timer(self, now: int) -> None:
        self.times.append(now)
        self.timers += 1
        self.deadline = None

    def next_deadline(self, now: int) -> int | None:
        return self.deadline

    def take_effects(self) -> list[api.Effect]:
        effects, self.effects = self.effects, []
        return effects

    def status(self, now: int) -> Status:
        return Status(NodeInfo(0, "me", "0" * 16, "0"), (), (), True, (), (), {"bad_forged": 1})

    def conflicts(self, tree: str) -> list[TreePath]:
        return self.conflicting

    def lacking(self, tree: str | None = None) -> list[str]:
        return ["t: web2 lacks 3 entries"]

    def leave(self, now: int, text: str = "") -> None:
        self.effects.append(api.Send(b"bye", None))


async def until(true: Callable[[], object], seconds: float = 2) -> None:
    """Wait until it is so."""
    with trio.fail_after(seconds):
        while not true():  # noqa: ASYNC110
            await trio.sleep(0.001)
