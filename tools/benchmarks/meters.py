"""What a process has used: processor time and memory, living or dead, its children included."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

_TICK = os.sysconf("SC_CLK_TCK")


class Metered:
    """A process that was started on a host, and its bill."""

    def __init__(self, process: subprocess.Popen[Any], role: str) -> None:
        self.process, self.role = process, role
        self.usage: resource.struct_rusage | None = None
        self._seen = 0

    @property
    def pid(self) -> int:
        return self.process.pid

    def poll(self) -> int | None:
        """The exit status, None while it runs; the bill is taken when it has ended."""
        if self.usage is None:
            try:
                pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            except ChildProcessError:
                return self.process.returncode
            if pid == 0:
                return None
            self.usage = usage
            self.process.returncode = os.waitstatus_to_exitcode(status)
        return self.process.returncode

    def wait(self, deadline: float) -> int:
        """The exit status. Raises TimeoutError."""
        while (status := self.poll()) is None:
            self.sample()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.process.args!r} did not end")
            time.sleep(0.005)
        return status

    def stop(self, patience: float = 10.0) -> int:
        """Ask it to end, and after a while make it; the exit status."""
        for number, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 10.0)):
            if self.poll() is not None:
                break
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
            with contextlib.suppress(TimeoutError):
                self.wait(time.monotonic() + seconds)
        return self.poll() or 0

    def cpu(self) -> float:
        """Seconds of processor time so far, living and dead descendants included."""
        if self.poll() is not None:
            return 0.0 if self.usage is None else self.usage.ru_utime + self.usage.ru_stime
        return sum(_ticks(pid) for pid in _family(self.pid)) / _TICK

    def peak(self) -> int:
        """The most memory that it, or one of its descendants, has held at once, in bytes, as far as samples tell."""
        self.sample()
        return self._seen

    def sample(self) -> None:
        """Look at the peaks now: the kernel's bill of an ended process has in it what forked it, which is the bench."""
        if self.usage is None:
            self._seen = max([self._seen, *(_status(pid, "VmHWM") for pid in _family(self.pid))])

    def memory(self) -> int:
        """Resident memory now, in bytes."""
        return _status(self.pid, "VmRSS")

    def forget_peak(self) -> None:
        """Count the peak anew from here on."""
        self._seen = 0
        with contextlib.suppress(OSError):
            Path(f"/proc/{self.pid}/clear_refs").write_text("5")


@contextlib.contextmanager
def sampling(processes: Sequence[Metered], pause: float = 0.1) -> Iterator[None]:
    """Sample all of them in a thread meanwhile; more may be added to the list."""
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(pause):
            for process in list(processes):
                process.sample()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _family(pid: int) -> Iterator[int]:
    yield pid
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _family(int(child))


def _ticks(pid: int) -> int:
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(int(fields[index]) for index in (11, 12, 13, 14))  # its own, and those of its ended children
    return 0


def _status(pid: int, key: str) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(f"{key}:"):
                return int(line.split()[1]) * 1024
    return 0
