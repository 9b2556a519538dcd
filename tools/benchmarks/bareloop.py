"""The least that sending and receiving sealed frames can cost in Python: a frame per call, nothing else.

`bareloop.py receive READY MTU` prints what it got; `bareloop.py send MTU BYTES` sends so many bytes of bodies.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from l2sync.frames import OVERHEAD, Keyring, Kind, parse_header  # noqa: E402

_ETHERTYPE = 0x88B5
_ETHERNET = 14
_SESSION = 1
_SILENCE = 1.0
"""Seconds without a frame after which all has come that will come."""
_BUFFER = 16 << 20
_SO_RCVBUFFORCE = 33
_NOBODY = 0xFFFF


def _keyring() -> Keyring:
    return Keyring("bare", {1: bytes(range(32))}, 1)


def _socket() -> socket.socket:
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETHERTYPE))
    raw.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
    raw.bind(("eth0", _ETHERTYPE))
    return raw


def send(mtu: int, wanted: int) -> None:
    """Seal and send until so many bytes of bodies are out."""
    raw, keyring, body = _socket(), _keyring(), os.urandom(mtu - OVERHEAD)
    header = b"\xff" * 6 + raw.getsockname()[4] + _ETHERTYPE.to_bytes(2, "big")
    for serial in range(-(-wanted // len(body))):
        raw.send(header + keyring.seal(Kind.DATA, 1, _NOBODY, _SESSION, serial, body))


def receive(ready: Path, mtu: int) -> dict[str, float]:
    """Receive and open until nothing comes; bytes of bodies, frames, and the seconds from the first to the last."""
    raw, keyring = _socket(), _keyring()
    got = frames = 0
    begin = end = 0.0
    ready.touch()
    while True:
        try:
            frame = raw.recv(mtu + _ETHERNET)[_ETHERNET:]
        except TimeoutError:
            break
        if not frames:
            begin = time.monotonic()
            raw.settimeout(_SILENCE)
        got += len(keyring.open(parse_header(frame), frame))
        frames += 1
        end = time.monotonic()
    return {"bytes": got, "frames": frames, "seconds": end - begin}


if __name__ == "__main__":
    if sys.argv[1] == "send":
        send(int(sys.argv[2]), int(sys.argv[3]))
    else:
        print(json.dumps(receive(Path(sys.argv[2]), int(sys.argv[3]))))
