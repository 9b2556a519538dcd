"""lsyncd on the sender, which starts rsync to the receivers' rsync daemons."""

from __future__ import annotations

import json

from benchmarks.peers.base import Watcher
from benchmarks.peers.rsync import start_daemons
from benchmarks.trees import Strictness


class Lsyncd(Watcher):
    """One rule for each receiver; they copy in parallel. It counts its delay in whole seconds."""

    name = "lsyncd"
    needs = (("lsyncd", "lsyncd"), ("rsync", "rsync"), ("ss", "iproute2"))
    about = ("lsyncd", "--version")
    strictness = Strictness(folder_times=False)

    def start(self, deadline: float) -> None:
        start_daemons(self)
        host = self.hosts[0]
        status, configuration = self.home(host) / "lsyncd.status", self.home(host) / "lsyncd.lua"
        # At 0 it misses what changes while it starts a copy, so that only single files are tried with it.
        delay = 0 if self.eager else 1
        text = [f"settings {{ nodaemon = true, statusFile = {json.dumps(str(status))}, maxProcesses = 32 }}"]
        for receiver, _ in self.receivers:
            text.append(
                f"sync {{ default.rsync, source = {json.dumps(str(self.source))}, "
                f'target = "rsync://{receiver.address}/tree/", delay = {delay}, '
                "rsync = { archive = true, hard_links = true, acls = true, xattrs = true } }"
            )
        configuration.write_text("\n".join(text) + "\n")
        self.launch(host, ["lsyncd", "-nodaemon", configuration])
        # The status file comes with the first turn of its loop, when the watches are set.
        self.await_all(lambda _: status.exists(), [host], deadline, "the status file")
