"""syncthing on every host, all sharing the folder, each pair connected by static addresses."""

from __future__ import annotations

import json
import os
import urllib.request
from xml.sax.saxutils import quoteattr

from benchmarks.peers.base import Unable, Watcher
from benchmarks.trees import Strictness
from l2sync.cli.lab import Host

_KEY = "bench"
_OPTIONS = {
    "listenAddress": "",
    "globalAnnounceEnabled": "false",
    "localAnnounceEnabled": "false",
    "relaysEnabled": "false",
    "natEnabled": "false",
    "startBrowser": "false",
    "urAccepted": "-1",
    "autoUpgradeIntervalH": "0",
    "crashReportingEnabled": "false",
    "announceLANAddresses": "false",
    "stunKeepaliveStartS": "0",
    "setLowPriority": "false",
    "reconnectionIntervalS": "5",
}
_OFFLINE = {"STNOUPGRADE": "1", "STNODEFAULTFOLDER": "1", "STNORESTART": "1", "no_proxy": "*"}


def _address(host: Host, other: Host) -> str:
    """Where ``host`` finds the other: of two, one dials.

    Both dial from the port that they listen on. Nine that start together dial each other at the same moment, which TCP
    makes one connection of; both are then TLS clients, time out after 20 s, and try again, together.
    """
    return f"tcp://{other.address}:22000" if other.number < host.number else "dynamic"


class Syncthing(Watcher):
    """No discovery, no relays, no reports, no upgrades: nothing but the lab's hosts is ever asked."""

    name = "syncthing"
    needs = (("syncthing", "syncthing"), ("ss", "iproute2"))
    about = ("syncthing", "--version")
    strictness = Strictness(folder_times=False, own=(".stfolder",))

    def start(self, deadline: float) -> None:
        environment = {**os.environ, **_OFFLINE, "HOME": str(self.folder)}
        names = {}
        for host in self.hosts:
            place = self.home(host) / "syncthing"
            generate = ["syncthing", "generate", f"--home={place}", "--no-default-folder"]
            ask = ["syncthing", f"--home={place}", "--device-id"]
            for command in (generate, ask):
                # Inside, since even making the keys tells the port that would be free.
                done = host.run(command, env=environment, capture_output=True, text=True, check=False)
                if done.returncode != 0:
                    raise Unable(f"syncthing: {(done.stderr or done.stdout).strip()}")
            names[host.number] = done.stdout.strip()
        for host in self.hosts:
            place = self.home(host) / "syncthing"
            (place / "config.xml").write_text(self._configuration(host, names))
            command = ["syncthing", "serve", f"--home={place}", "--no-browser", "--no-restart", "--no-upgrade"]
            self.launch(host, [*command, "--logflags=3"], env=environment)
        self.await_all(self._connected, self.hosts, deadline, "connections to all others")

    def _configuration(self, host: Host, names: dict[int, str]) -> str:
        delay = "0.01" if self.eager else "1"
        shared = "".join(f'<device id="{name}"></device>' for name in names.values())
        folder = (
            f'<folder id="tree" path={quoteattr(str(self.trees[host.number]))} type="sendreceive" '
            f'rescanIntervalS="3600" fsWatcherEnabled="true" fsWatcherDelayS="{delay}">{shared}'
            '<minDiskFree unit="%">0</minDiskFree></folder>'
        )
        devices = "".join(
            f'<device id="{names[other.number]}" name="host{other.number}" compression="metadata">'
            f"<address>{_address(host, other)}</address></device>"
            for other in self.hosts
        )
        options = {**_OPTIONS, "listenAddress": f"tcp://{host.address}:22000"}
        listed = "".join(f"<{key}>{value}</{key}>" for key, value in options.items())
        gui = f'<gui enabled="true" tls="false"><address>127.0.0.1:8384</address><apikey>{_KEY}</apikey></gui>'
        return f'<configuration version="36">{folder}{devices}{gui}<options>{listed}</options></configuration>\n'

    def _connected(self, host: Host) -> bool:
        request = urllib.request.Request("http://127.0.0.1:8384/rest/system/connections", headers={"X-API-Key": _KEY})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with host.entered(), opener.open(request, timeout=5.0) as answer:
                connections = json.load(answer)["connections"]
        except (OSError, ValueError, KeyError):
            return False
        return sum(1 for one in connections.values() if one["connected"]) == len(self.hosts) - 1
