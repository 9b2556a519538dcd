"""A TCP stream at a steady rate, and what arrives of it.

`stream.py sink FILE PORT` receives, `stream.py source ADDRESS PORT MBIT` sends.

The sink writes a line for each tenth of a second: the monotonic clock, and the bytes received so far.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import time

_PIECE = 64 * 1024
_STEP = 0.1
_SO_MAX_PACING_RATE = 47


def sink(path: str, port: int) -> None:
    """Take one stream until it ends."""
    server = socket.create_server(("", port))
    connection, _ = server.accept()
    total, following = 0, time.monotonic()
    with connection, open(path, "w", buffering=1) as file:
        while piece := connection.recv(_PIECE):
            total += len(piece)
            now = time.monotonic()
            if now >= following:
                file.write(f"{now} {total}\n")
                following = now + _STEP


def source(address: str, port: int, mbit: float) -> None:
    """Send until ended, at no more than that rate: the kernel's own pacing spaces the segments."""
    connection = socket.create_connection((address, port))
    connection.setsockopt(socket.SOL_SOCKET, _SO_MAX_PACING_RATE, int(mbit * 1e6 / 8))
    piece = bytes(_PIECE)
    with contextlib.suppress(ConnectionError):  # the sink ends first
        while True:
            connection.sendall(piece)


def rate_between(path: str, begin: float, end: float) -> float:
    """Mbit/s that the sink received between two moments of the monotonic clock; 0 if it saw none."""
    with open(path) as file:
        lines = [line.split() for line in file if line.endswith("\n")]
    seen = [(float(when), int(total)) for when, total in lines]
    inside = [one for one in seen if begin <= one[0] <= end]
    before = [one for one in seen if one[0] < begin][-1:]
    points = before + inside
    if not points:
        return 0.0
    return (points[-1][1] - points[0][1]) * 8 / 1e6 / max(end - points[0][0], 1e-9)


if __name__ == "__main__":
    if sys.argv[1] == "sink":
        sink(sys.argv[2], int(sys.argv[3]))
    else:
        source(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
