"""Work that comes round again and can wait for company: it is done when the agent is awake for something else.

Each waking of a sleeping agent costs more than what most chores do in it.
"""

from __future__ import annotations

import trio

_SLACK_S = 1.5
"""How long a chore that is due waits for company: the node pings once a second."""


class Chores:
    """All chores of one agent. Whoever is awake calls `awake`."""

    def __init__(self) -> None:
        self._due: dict[trio.Event, float] = {}

    async def sleep(self, seconds: float, slack: float = _SLACK_S) -> None:
        """Return at the first waking after so many seconds; after ``slack`` more at the latest."""
        event = trio.Event()
        due = trio.current_time() + seconds
        self._due[event] = due
        try:
            with trio.move_on_at(due + slack):
                await event.wait()
        finally:
            del self._due[event]

    def awake(self) -> None:
        """The loop is awake: what is due goes on in its next turn."""
        now = trio.current_time()
        for event, due in self._due.items():
            if due <= now:
                event.set()
