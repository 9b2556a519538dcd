"""csync2 on every host, and on the sender a trigger that starts it when the tree changes."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from benchmarks.peers.base import Watcher, wait_for_port
from benchmarks.trees import Strictness
from l2sync.cli.lab import Host

_PORT = 30865
_TRIGGER = Path(__file__).with_name("trigger.py")


class Csync2(Watcher):
    """Each host's folder is the same prefix to csync2; the trigger runs its check and its update."""

    name = "csync2"
    needs = (("csync2", "csync2"), ("ss", "iproute2"))
    about = ("dpkg-query", "-W", "csync2")
    strictness = Strictness(folder_times=False, fractions=False)

    def start(self, deadline: float) -> None:
        for host in self.hosts:
            self._configure(host)
        for host, _ in self.receivers:
            command = ["csync2", "-ii", *self._common(host)]
            self.launch(host, command, env=self._environment(host))
        for host, _ in self.receivers:
            wait_for_port(host, _PORT, time.monotonic() + 10.0)
        sender = self.hosts[0]
        ready = self.home(sender) / "trigger.ready"
        command = [sys.executable, str(_TRIGGER), str(self.source), str(ready), "0.0" if self.eager else "0.05"]
        command += ["csync2", "-x", *self._common(sender)]
        self.launch(sender, command, env=self._environment(sender))
        self.await_all(lambda _: ready.exists(), [sender], deadline, "the trigger's watch")

    def prepare(self) -> None:
        time.sleep(1.1)  # it tells changes by whole seconds: one in the second of the last run would be missed

    def _common(self, host: Host) -> list[str]:
        # It binds to what -N names, so hosts are known by their addresses: no name here can be resolved.
        return ["-N", str(host.address), "-D", str(self.home(host) / "database")]

    def _environment(self, host: Host) -> dict[str, str]:
        return {**os.environ, "CSYNC2_SYSTEM_DIR": str(self.home(host) / "etc")}

    def _configure(self, host: Host) -> None:
        system, database = self.home(host) / "etc", self.home(host) / "database"
        system.mkdir()
        database.mkdir()
        key = system / "csync2.key"
        key.write_text("benchonlykeyofnosecretatall0123456789abcdefghijklmnopqrstuvwxyz0\n")
        key.chmod(0o600)
        hosts = " ".join(str(other.address) for other in self.hosts)
        prefixes = " ".join(f"on {other.address}: {self.trees[other.number]};" for other in self.hosts)
        (system / "csync2.cfg").write_text(
            "nossl * *;\n"
            f"group bench {{ host {hosts}; key {key}; include %tree%; auto none; }}\n"
            f"prefix tree {{ {prefixes} }}\n"
        )
