"""Talking to a running agent over its control socket, without an event loop."""

from __future__ import annotations

import socket
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import msgspec

from .protocol import Query, Reply, decode_reply, encode_line

_T = TypeVar("_T")


class NoAgent(Exception):
    """Nobody answers at the socket; the text says why, and what to do."""


class RequestFailed(Exception):
    """The agent said no; ``code`` is stable, the text is for people."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class Client:
    """One connection; use as a context manager."""

    def __init__(self, path: Path) -> None:
        """Connect. Raises NoAgent."""
        self._path = path
        self._buffer = b""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise NoAgent(_explain(path, error)) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection; the agent gives up the locks that belong to it."""
        self._socket.close()

    def request(self, query: Query) -> Reply:
        """Ask, and wait for the answer as long as it takes. Raises RequestFailed, NoAgent."""
        try:
            self._socket.sendall(encode_line(query))
            reply = decode_reply(self._line())
        except OSError as error:
            raise NoAgent(f"the agent at {self._path} went away: {error.strerror or error}") from None
        except msgspec.DecodeError:
            raise NoAgent(f"what answers at {self._path} is no l2sync agent of this version") from None
        if not reply.ok:
            raise RequestFailed(reply.code, reply.text)
        return reply

    def ask(self, query: Query, kind: type[_T]) -> _T:
        """Ask, and have the answer's data as ``kind``. Raises RequestFailed, NoAgent."""
        return self.decode(self.request(query), kind)

    def decode(self, reply: Reply, kind: type[_T]) -> _T:
        """An answer's data as ``kind``. Raises NoAgent."""
        try:
            return msgspec.json.decode(reply.data, type=kind)
        except msgspec.DecodeError as error:
            raise NoAgent(f"the agent at {self._path} answers in an unknown form ({error})") from None

    def _line(self) -> bytes:
        while b"\n" not in self._buffer:
            received = self._socket.recv(1 << 16)
            if not received:
                raise NoAgent(f"the agent at {self._path} ended before it answered")
            self._buffer += received
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line


def _explain(path: Path, error: OSError) -> str:
    if isinstance(error, PermissionError):
        return f"{path}: permission denied; be root, or a member of the socket's group"
    if isinstance(error, FileNotFoundError | ConnectionRefusedError):
        return (
            f"no agent answers at {path}; start one with systemctl start l2sync (or l2sync run), "
            "or name its socket with --socket"
        )
    return f"{path}: {error.strerror or error}"
