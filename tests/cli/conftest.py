"""An agent for the command to talk to: it answers from a script and remembers what it was asked."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from l2sync.agent.protocol import Query, Reply, decode_query, encode_line, failure, success
from l2sync.cli.main import run

STATUS: dict[str, Any] = {
    "node": {"id": 3, "name": "web1", "session": "00000000deadbeef", "version": "0.1.0"},
    "peers": [{"id": 1, "name": "web2", "state": "online", "rtt_ms": 0.31, "last_seen_s": 0.2}],
    "trees": [
        {
            "name": "www",
            "path": "/srv/www",
            "state": "in sync",
            "entries": 12345,
            "bytes": 3 << 20,
            "root_digest": "ab" * 32,
            "pending": 0,
            "paused_reason": None,
            "conflicts": 2,
            "watch": "fanotify",
        }
    ],
    "in_sync": True,
    "reasons": [],
    "locks": [{"holder": "web2", "number": 1, "tree": "www", "paths": ["a"], "purpose": "user", "granted": True}],
    "counters": {"frames_in_data": 10, "bytes_in_data": 14000, "retransmissions": 4, "kernel_drops": 0},
    "of_a_later_version": 1,
}


class FakeAgent:
    """Listens at ``path``; ``answer`` may be replaced."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked: list[Query | str] = []
        self.answer: Callable[[Query], Reply] = lambda query: success(STATUS)
        self.gone = threading.Event()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def refuse(self, code: str, text: str) -> None:
        """Say no to everything."""
        self.answer = lambda query: failure(code, text)

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._attend, args=(connection,), daemon=True).start()

    def _attend(self, connection: socket.socket) -> None:
        with contextlib.suppress(ConnectionError), connection, connection.makefile("rb") as lines:
            for line in lines:
                query = decode_query(line)
                self.asked.append(query)
                connection.sendall(encode_line(self.answer(query)))
        self.gone.set()


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAgent]:
    made = FakeAgent(tmp_path / "control.sock")
    monkeypatch.setenv("L2SYNC_SOCKET", str(made.path))
    yield made
    made.close()


@pytest.fixture
def l2sync(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run the command: exit status, standard output, standard error."""

    def call(*arguments: object) -> tuple[int, str, str]:
        status = run([str(argument) for argument in arguments])
        output = capfd.readouterr()
        return status, output.out, output.err

    return call
