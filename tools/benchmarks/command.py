"""The command line of tools/bench."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import FrameType

from benchmarks import machine, plot, report, table
from benchmarks.measure import Result
from benchmarks.options import parse
from benchmarks.peers import L2sync
from benchmarks.run import run
from benchmarks.scenarios import SCENARIOS
from benchmarks.stage import Bench
from l2sync.cli.lab import LabError

_ROOT = Path(__file__).resolve().parents[2]
_PREFIX = "l2sync-bench-"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; 0 if every peer did its work and left equal trees."""
    options = parse(arguments)
    if options.install:
        return machine.install(options.peers, options.plot is not None or not options.scenarios)
    L2sync.command = options.command or _find_command()
    bench = _bench(options)

    def unwind(number: int, frame: FrameType | None) -> None:
        print(f"tools/bench: ended by signal {number} while {bench.step}", file=sys.stderr)
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, unwind)
    signal.signal(signal.SIGHUP, unwind)
    try:
        return _table(bench, options) if options.table else _measure(bench, options)
    except LabError as error:
        print(f"tools/bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"tools/bench: interrupted while {bench.step}", file=sys.stderr)
        return 130
    finally:
        _clear(bench)


def _measure(bench: Bench, options: Namespace) -> int:
    results: list[Result] = []
    for _ in range(options.runs):
        results += run(bench, options.peers, options.scenarios)
    told = machine.versions(options.peers)
    if options.plot is not None:
        plot.draw(results, options.plot)
    if options.json:
        settings = {**vars(options), "sizes": asdict(bench.sizes), "machine": machine.description(), "versions": told}
        print(json.dumps(report.as_json(results, settings), indent=2, default=str))
    else:
        print(f"{_conditions(bench)}\n{machine.description()}")
        print("\n".join(f"{name}: {version}" for name, version in told.items()), end="\n\n")
        print(report.table(results))
    return 0 if all(result.good for result in results) else 1


def _table(bench: Bench, options: Namespace) -> int:
    """The whole table of what must hold, as Markdown."""
    rows, results = table.fill(bench, options.runs)
    if options.json:
        settings = {"machine": machine.description(), "scale": options.scale, "rows": [asdict(row) for row in rows]}
        print(json.dumps(report.as_json(results, settings), indent=2, default=str))
    else:
        peers = list(dict.fromkeys(result.peer for result in results))
        print(table.as_markdown(rows, machine.description(), machine.versions(peers), options.scale, options.runs))
    return 0 if all(row.ok for row in rows) else 1


def _conditions(bench: Bench) -> str:
    rate = "each scenario's own rate" if bench.rate is None else f"{bench.rate:g} Mbit/s on every port"
    rate = "not shaped" if bench.rate == 0 else rate
    return f"{bench.receivers} receivers, {rate}, MTU {bench.mtu}, loss {bench.loss:g}"


def _bench(options: Namespace) -> Bench:
    return Bench(
        sizes=options.sizes,
        workdir=_workdir(options),
        receivers=options.receivers,
        rate=options.rate,
        mtu=options.mtu,
        loss=options.loss,
        timeout=options.timeout,
        keep=options.keep,
        counts=options.counts,
        losses=options.losses,
    )


def _workdir(options: Namespace) -> Path:
    """A new folder for the trees: in memory if there is room, since disks remember earlier runs."""
    if options.workdir is not None:
        options.workdir.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix="bench-", dir=options.workdir))
    names = table.SCENARIOS_USED if options.table else options.scenarios
    needed = max(SCENARIOS[name].space(options.sizes, options.receivers) for name in names) + (64 << 20)
    for place in (Path("/dev/shm"), Path("/var/tmp")):
        if place.is_dir():
            _sweep(place)
            if _room(place) > needed:
                return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=place))
    sys.exit(f"tools/bench: {needed >> 20} MiB are needed in /dev/shm or /var/tmp; or name a --workdir")


def _room(place: Path) -> int:
    """Bytes that trees may take there; a file system in memory has no more than the memory that is free."""
    free = shutil.disk_usage(place).free
    if place.is_relative_to("/dev/shm"):
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
        free = min(free, int(found[1]) * 1024 - (2 << 30)) if found else free
    return free


def _sweep(place: Path) -> None:
    """Remove what a run that was killed has left."""
    for left in place.glob(f"{_PREFIX}*"):
        number = left.name.removeprefix(_PREFIX).partition("-")[0]
        if number.isdigit() and not Path(f"/proc/{number}").exists():
            shutil.rmtree(left, ignore_errors=True)


def _clear(bench: Bench) -> None:
    if bench.keep:
        print(f"trees and logs: {bench.workdir}", file=sys.stderr)
        return
    # A second Ctrl-C must not leave half of it behind.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        shutil.rmtree(bench.workdir, ignore_errors=True)
    finally:
        signal.signal(signal.SIGINT, before)


def _find_command() -> Path:
    for place in (Path(sys.executable).parent / "l2sync", _ROOT / ".venv" / "bin" / "l2sync"):
        if place.exists():
            return place
    return Path(shutil.which("l2sync") or "l2sync")
