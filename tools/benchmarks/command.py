"""The command line of tools/bench."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks import report
from benchmarks.agents import L2sync
from benchmarks.peers import Peer, Rsync, Udpcast, Unable
from benchmarks.scenarios import SCENARIOS, Result, Session, Sizes
from l2sync.cli.lab import Lab, LabError

PEERS: dict[str, type[Peer]] = {peer.name: peer for peer in (L2sync, Rsync, Udpcast)}
_ROOT = Path(__file__).resolve().parents[2]
_START_PATIENCE = 60.0

_EPILOG = """\
x link: times as long as one copy of the payload takes at the ports' rate; x rsync, x udpcast: as that peer takes.
sent/byte: bytes on the sender's wire for each byte of payload; wire/byte: bytes that all hosts together sent.
TCP peers' bytes are 2 to 5 % too low: segmentation offload hides headers. cpu s: all processes on all hosts.
Not shaped (--rate 0), the figures measure this machine's processors, since all hosts share them.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; 0 if every peer did its work and left equal trees."""
    options = _options(arguments)
    L2sync.command = options.command or _find_command()
    workdir = _workdir(options)
    results: list[Result] = []
    try:
        for run in range(options.runs):
            for name in options.peers:
                results += _run_peer(PEERS[name], options, workdir / f"run{run}-{name}", workdir / "old")
    except LabError as error:
        print(f"tools/bench: {error}", file=sys.stderr)
        return 2
    finally:
        if options.keep:
            print(f"trees and logs: {workdir}", file=sys.stderr)
        else:
            shutil.rmtree(workdir, ignore_errors=True)
    if options.json:
        settings = {**vars(options), "sizes": asdict(options.sizes)}
        print(json.dumps(report.as_json(results, settings, options.rate), indent=2, default=str))
    else:
        shaped = f"{options.rate:g} Mbit/s on every port" if options.rate else "not shaped"
        print(f"{options.receivers} receivers, {shaped}, MTU {options.mtu}, loss {options.loss:g}\n")
        print(report.table(results, options.rate))
    return 1 if any(result.failure or result.differences for result in results) else 0


def _run_peer(peer: type[Peer], options: argparse.Namespace, folder: Path, old: Path) -> list[Result]:
    """All scenarios that the peer knows; big has a lab and trees of its own, the others build on each other."""
    known = [scenario for scenario in options.scenarios if scenario in peer.scenarios]
    results: list[Result] = []
    missing = [tool for tool in peer.needs if shutil.which(tool) is None]
    if missing:
        return [Result(scenario, peer.name, f"not installed: {', '.join(missing)}") for scenario in known]
    for group in (["big"], ["tree", "edits", "latency", "idle"]):
        chosen = [scenario for scenario in group if scenario in known]
        if not chosen:
            continue
        place = folder / group[0]
        with Lab(options.receivers + 1, rate=options.rate, mtu=options.mtu, addresses=True) as lab:
            results += _run_group(peer, lab, place, chosen, options)
        if not options.keep:
            _retire(place, old)
    return results


def _run_group(
    kind: type[Peer], lab: Lab, place: Path, scenarios: Sequence[str], options: argparse.Namespace
) -> list[Result]:
    results: list[Result] = []
    peer = kind(lab, place)
    try:
        if options.loss:
            lab.lose(options.loss)
        peer.start(time.monotonic() + _START_PATIENCE)
        session = Session(peer, lab, options.sizes, options.timeout)
        for scenario in scenarios:
            results.append(session.run(scenario))
            _progress(results[-1])
    except Unable as error:
        results += [Result(scenario, kind.name, str(error)) for scenario in scenarios[len(results) :]]
        _progress(results[-1])
    finally:
        peer.stop()
    return results


def _progress(result: Result) -> None:
    outcome = result.failure or f"{result.seconds:.3f} s"
    if result.differences:
        outcome += f", but the trees differ: {result.differences[:3]}"
    print(f"{result.scenario}: {result.peer}: {outcome}", file=sys.stderr, flush=True)


def _retire(place: Path, old: Path) -> None:
    """Out of the way without disturbing what follows: deleting much slows ext4 down for minutes, tmpfs never."""
    if _is_tmpfs(place):
        shutil.rmtree(place, ignore_errors=True)
        return
    old.mkdir(exist_ok=True)
    place.rename(Path(tempfile.mkdtemp(dir=old)) / place.name)


def _is_tmpfs(path: Path) -> bool:
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    holding = [mount for mount in mounts if path.resolve().is_relative_to(mount[1])]
    return max(holding, key=lambda mount: len(mount[1]))[2] == "tmpfs"


def _workdir(options: argparse.Namespace) -> Path:
    """A new folder for the trees: in memory if there is room, since disks remember earlier runs."""
    if options.workdir is not None:
        options.workdir.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix="bench-", dir=options.workdir))
    biggest = max(options.sizes.big, options.sizes.files * options.sizes.mean)
    needed = biggest * (options.receivers + 2) * 2
    for place in (Path("/dev/shm"), Path("/var/tmp")):
        if place.is_dir() and shutil.disk_usage(place).free > needed:
            return Path(tempfile.mkdtemp(prefix="l2sync-bench-", dir=place))
    sys.exit(f"tools/bench: {needed >> 20} MiB are needed in /dev/shm or /var/tmp; or name a --workdir")


def _find_command() -> Path:
    for place in (Path(sys.executable).parent / "l2sync", _ROOT / ".venv" / "bin" / "l2sync"):
        if place.exists():
            return place
    return Path(shutil.which("l2sync") or "l2sync")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tools/bench",
        description="Measure l2sync, rsync and udpcast on a segment of virtual hosts. Needs root.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("scenarios", nargs="*", metavar="SCENARIO", help=f"{', '.join(SCENARIOS)}; all by default")
    add("--peers", default=",".join(PEERS), help="which tools, with commas between (default: %(default)s)")
    add("--receivers", type=int, default=8, metavar="N", help="hosts that get the data (default: %(default)s)")
    add("--rate", type=float, default=100.0, metavar="R", help="Mbit/s of each port, 0: not shaped (%(default)g)")
    add("--loss", type=float, default=0.0, metavar="P", help="probability that a receiver loses a frame (%(default)g)")
    add("--mtu", type=int, default=1500, help="of every interface (default: %(default)s)")
    add("--runs", type=int, default=1, help="how often; the median is shown (default: %(default)s)")
    add("--json", action="store_true", help="everything measured, as JSON")
    add("--workdir", type=Path, help="where the trees are made (default: /dev/shm, or /var/tmp if it is too small)")
    add("--keep", action="store_true", help="leave trees and logs in the working directory")
    add("--command", type=Path, help="the l2sync to measure")
    add("--timeout", type=float, default=600.0, metavar="S", help="seconds for each scenario (default: %(default)g)")
    add("--scale", type=float, default=1.0, help="of all sizes and counts, for a quick try (default: %(default)g)")
    options = parser.parse_args(arguments)
    options.scenarios = options.scenarios or list(SCENARIOS)
    options.peers = options.peers.split(",")
    for given, known in ((options.scenarios, SCENARIOS), (options.peers, tuple(PEERS))):
        for unknown in set(given).difference(known):
            parser.error(f"{unknown!r} is none of {', '.join(known)}")
    if options.receivers < 1 or options.runs < 1 or options.scale <= 0 or not 0 <= options.loss < 1:
        parser.error("receivers and runs are at least 1, the scale is above 0, the loss from 0 to below 1")
    options.sizes = Sizes().scaled(options.scale)
    return options
