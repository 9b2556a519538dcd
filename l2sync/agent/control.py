"""The control socket's side in the agent: answers status, flush, lock, rescan and conflicts."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog
import trio

from .faults import ConfigError, Fault
from .office import Office, Refusal
from .protocol import MAX_LINE, Query, ReloadQuery, Reply, StatusQuery, decode_query, encode_line, failure, success

MODE = 0o660
_BACKLOG = 32


class ControlServer:
    """Listens at a path. While there is no office yet, ``why`` tells what the agent waits for."""

    def __init__(self, path: Path, group: int | None = None) -> None:
        self.path = path
        self.group = group
        self.office: Office | None = None
        self.why = "the agent is starting"
        self.reload: Callable[[], list[str]] = list
        """Takes up changed files; what is wrong with them, if anything."""
        self._log = structlog.get_logger()

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Answer until cancelled. Raises ConfigError where the socket cannot be made."""
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(_listen(self.path, self.group)))
        own = os.lstat(self.path).st_ino
        try:
            async with trio.open_nursery() as nursery:
                task_status.started()
                await trio.serve_listeners(self._attend, [listener], handler_nursery=nursery)
        finally:
            with contextlib.suppress(FileNotFoundError):
                if os.lstat(self.path).st_ino == own:
                    self.path.unlink()

    async def _attend(self, stream: trio.SocketStream) -> None:
        async with stream:
            try:
                await _Conversation(stream, self).hold()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass
            except Exception as error:
                self._log.error("control_request_failed", exc_info=error)


class _Conversation:
    """One client; what it has locked is given up when it goes."""

    def __init__(self, stream: trio.SocketStream, server: ControlServer) -> None:
        self._stream = stream
        self._server = server
        self._locks: list[tuple[str, int]] = []
        self._office: Office | None = None
        self._busy: trio.CancelScope | None = None

    async def hold(self) -> None:
        send, receive = trio.open_memory_channel[bytes](16)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read, send)
                async for line in receive:
                    await self._stream.send_all(encode_line(await self._answer(line)))
                nursery.cancel_scope.cancel()
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            if self._office is not None:
                self._office.release(self._locks)

    async def _read(self, lines: trio.MemorySendChannel[bytes]) -> None:
        """Hand on line after line; when the client goes, what it waits for is given up."""
        rest = b""
        try:
            async with lines:
                while len(rest) <= MAX_LINE and (received := await self._stream.receive_some(65536)):
                    *whole, rest = (rest + received).split(b"\n")
                    for line in whole:
                        await lines.send(line)
        finally:
            if self._busy is not None:
                self._busy.cancel()

    async def _answer(self, line: bytes) -> Reply:
        try:
            query = decode_query(line)
        except msgspec.DecodeError as error:
            return failure("bad_request", f"not a request that this agent understands: {error}")
        if isinstance(query, ReloadQuery):
            faults = self._server.reload()
            return failure("not_reloaded", "\n".join(faults)) if faults else success()
        office = self._server.office
        if office is None:
            return failure("starting", self._server.why)
        if self._office not in (None, office):
            # The agent began anew meanwhile, and what was locked before is not any more.
            self._locks.clear()
        self._office = office
        if isinstance(query, StatusQuery):
            return success(office.status())
        with trio.CancelScope() as self._busy:
            return await self._work(office, query)
        return failure("gone", "nobody waits for this any more")

    async def _work(self, office: Office, query: Query) -> Reply:
        try:
            return await office.answer(query, self._locks)
        except Refusal as refusal:
            return failure(refusal.code, str(refusal))
        finally:
            self._busy = None


def _listen(path: Path, group: int | None) -> socket.socket:
    """A listening socket at this path, never open to more users than it should be, not even for a moment."""

    def unusable(reason: str) -> ConfigError:
        return ConfigError([Fault(str(path), "node.control_socket", reason, "name another place, or free this one")])

    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    aside = path.with_name(f".{path.name[:20]}.{os.getpid()}")
    try:
        if _answers(path):
            raise unusable("another agent answers there")
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        if path.exists() and not path.is_socket():
            raise unusable("something else is there")
        aside.unlink(missing_ok=True)
        listener.bind(str(aside))
        if group is not None:
            os.chown(aside, -1, group)
        os.chmod(aside, MODE)
        listener.listen(_BACKLOG)
        os.rename(aside, path)
    except OSError as error:
        listener.close()
        raise unusable(error.strerror or str(error)) from error
    except BaseException:
        listener.close()
        raise
    finally:
        aside.unlink(missing_ok=True)
    return listener


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
