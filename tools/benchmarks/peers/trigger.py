"""Run a command after each change below a folder: `trigger.py FOLDER READY PAUSE COMMAND…`.

READY is made when the watch is set. After a change, PAUSE seconds are waited for more, then the command runs; what
changes while it runs makes it run again. Started as a program of its own, for tools that watch nothing themselves.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from inotify_simple import INotify, flags

_WANTED = (
    flags.CREATE | flags.CLOSE_WRITE | flags.MOVED_TO | flags.MOVED_FROM | flags.DELETE | flags.ATTRIB | flags.ONLYDIR
)


def main(folder: str, ready: str, pause: float, command: list[str]) -> None:
    """Watch until ended."""
    watcher = INotify()
    places: dict[int, str] = {}

    def watch(top: str) -> None:
        for place, _, _ in os.walk(top):
            try:
                places[watcher.add_watch(place, _WANTED)] = place
            except OSError:
                continue  # gone again: its deletion is an event too

    watch(folder)
    Path(ready).touch()
    while True:
        events = watcher.read()
        time.sleep(pause)
        events += watcher.read(timeout=0)
        for event in events:
            if event.mask & flags.ISDIR and event.mask & (flags.CREATE | flags.MOVED_TO) and event.wd in places:
                watch(os.path.join(places[event.wd], event.name))
        subprocess.run(command, check=False)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4:])
