"""A stranger on the segment who has no key: listens, and once told to, floods it with junk.

`python -m tests.integration.flood INTERFACE WAY MBIT SIZE`: Mbit/s as on a cable, bytes of each frame's payload.
"""

from __future__ import annotations

import random
import socket
import sys
import time

ETHERTYPE = 0x88B5
WAYS = ("noise", "forged", "sessions", "replayed", "mixed")
"""Random bytes; a member's headers on random bodies; the same with a new session each; what was heard, again;
all of these."""
ON_THE_WIRE = 38
"""Bytes of preamble, header, checksum and gap that a frame has on a cable."""
_MADE = 2048


def listen(raw: socket.socket, wanted: int, seconds: float) -> list[bytes]:
    """Genuine frames with their Ethernet headers."""
    heard: list[bytes] = []
    end = time.monotonic() + seconds
    while len(heard) < wanted and time.monotonic() < end:
        raw.settimeout(max(end - time.monotonic(), 0.01))
        try:
            frame = raw.recv(65536)
        except TimeoutError:
            break
        if frame[14:16] == b"L2":
            heard.append(frame)
    return heard


def junk(way: str, heard: list[bytes], size: int, rng: random.Random) -> bytes:
    """One frame from a spoofed address: a member's own, or none that exists."""
    if way == "mixed":
        way = rng.choice(WAYS[:-1])
    example = rng.choice(heard)
    source = example[6:12] if rng.random() < 0.5 else b"\2" + rng.randbytes(5)
    head = b"\xff" * 6 + source + ETHERTYPE.to_bytes(2, "big")
    if way == "noise":
        return head + rng.randbytes(size)
    if way == "replayed":
        return head + example[14:]
    # Magic, version, kind, cluster, key and ids as they were; session, serial and length follow.
    start, session, serial = example[14:27], example[27:35], rng.randbytes(6)
    if way == "sessions":
        session = rng.randbytes(8)
    body = max(size - 60, 1)
    return head + (start + session + serial + body.to_bytes(2, "big") + rng.randbytes(body + 16))[: max(size, 61)]


def flood(raw: socket.socket, frames: list[bytes], mbit: float) -> None:
    """Send at this rate until ended."""
    begun, sent, at = time.monotonic(), 0, 0
    while True:
        allowed = (time.monotonic() - begun) * mbit * 1e6 / 8
        if sent - allowed > 0:
            time.sleep(0.001)
            continue
        if allowed - sent > mbit * 1e6 / 8:
            # Behind by a second: there is no more to be had.
            begun, sent = time.monotonic(), 0
        for _ in range(32):
            frame = frames[at]
            at = (at + 1) % len(frames)
            try:
                raw.send(frame)
            except OSError:
                time.sleep(0.001)
            sent += len(frame) + ON_THE_WIRE - 14


def main(interface: str, way: str, mbit: str, size: str) -> None:
    """Listen, make junk, send it."""
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERTYPE))
    raw.bind((interface, ETHERTYPE))
    heard = listen(raw, 400, 5)
    if not heard:
        sys.exit("nobody was heard")
    raw.setblocking(True)
    # The long ones fill a link with the least trouble for this host.
    heard = sorted(heard, key=len)[-100:]
    rng = random.Random(1)
    frames = [junk(way, heard, int(size), rng) for _ in range(_MADE)]
    print(f"heard {len(heard)}", flush=True)
    sys.stdin.readline()
    flood(raw, frames, float(mbit))


if __name__ == "__main__":
    main(*sys.argv[1:])
