"""What systemd is told: ready, how things stand, still alive, stopping. Without systemd, nothing happens."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import sdnotify

from .chores import Chores


class Notifier:
    """The service manager's socket, if there is one."""

    def __init__(self) -> None:
        self._notifier = sdnotify.SystemdNotifier()
        self._status = ""

    def ready(self) -> None:
        self._notifier.notify("READY=1")

    def reloading(self) -> None:
        self._notifier.notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        self._notifier.notify("STOPPING=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`; sent only when it is another one."""
        if text != self._status:
            self._status = text
            self._notifier.notify(f"STATUS={text}")

    async def keep_alive(self, describe: Callable[[], str], chores: Chores, every: float = 15.0) -> None:
        """Tell the watchdog, twice as often as it asks for, that the loop runs; and the status."""
        limit = watchdog_seconds()
        beat = every if limit is None else min(every, limit / 2)
        while True:
            if limit is not None:
                self._notifier.notify("WATCHDOG=1")
            if os.environ.get("NOTIFY_SOCKET"):
                self.status(describe())
            await chores.sleep(beat, min(beat / 2, 1.5))


def watchdog_seconds() -> float | None:
    """How long systemd waits for a sign of life from this process; None: it does not."""
    if os.environ.get("WATCHDOG_PID") not in (None, str(os.getpid())):
        return None
    text = os.environ.get("WATCHDOG_USEC", "")
    return int(text) / 1e6 if text.isdigit() and int(text) else None
