"""clsync on the sender, whose handler starts rsync to all receivers' rsync daemons at once."""

from __future__ import annotations

import shlex

from benchmarks.peers.base import Watcher
from benchmarks.peers.rsync import address, start_daemons

_HANDLER = """\
#!/bin/bash
# Called as: rsynclist LABEL LISTFILE [EXCLUDELIST]; done when all receivers have it.
[ "$1" = rsynclist ] || exit 0
exclude=()
[ -n "$4" ] && exclude=(--exclude-from="$4")
status=0
for target in {targets}; do
    rsync -aHAX --delete-before "${{exclude[@]}}" --include-from="$3" --exclude='*' {source}/ "$target" &
    jobs+=($!)
done
for job in "${{jobs[@]}}"; do
    wait "$job"
    code=$?
    # 24: a file vanished meanwhile; its deletion is the next event.
    [ $code -eq 0 ] || [ $code -eq 24 ] || status=$code
done
touch {ready}
exit $status
"""


class Clsync(Watcher):
    """The mode that its manual recommends, with the delays at their least."""

    name = "clsync"
    needs = (("clsync", "clsync"), ("rsync", "rsync"), ("ss", "iproute2"))
    about = ("clsync", "--version")

    def start(self, deadline: float) -> None:
        start_daemons(self)
        host = self.hosts[0]
        home = self.home(host)
        lists, handler, rules, ready = home / "lists", home / "handler", home / "rules", home / "synced"
        lists.mkdir(mode=0o700)
        rules.write_text("+*.*\n")
        targets = " ".join(address(receiver) for receiver, _ in self.receivers)
        quoted = {"source": shlex.quote(str(self.source)), "ready": shlex.quote(str(ready))}
        handler.write_text(_HANDLER.format(targets=targets, **quoted))
        handler.chmod(0o755)
        delay = "0" if self.eager else "1"
        command = ["clsync", "-K", "bench", "-l", "bench", "-M", "rsyncshell", "-W", self.source, "-S", handler]
        command += ["-R", rules, "-L", lists, "-H", "/NULL/", "-p", "safe", "-Y", "stderr"]
        command += ["--uid", "0", "--gid", "0", "-w", delay, "-t", delay, "-T", delay, "--retries", "3"]
        self.launch(host, command, cwd=home)
        # Its first copy, of nothing yet, comes when all watches are set.
        self.await_all(lambda _: ready.exists(), [host], deadline, "the first copy")
