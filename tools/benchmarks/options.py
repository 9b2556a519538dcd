"""What tools/bench can be asked for."""

from __future__ import annotations

import argparse
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from benchmarks import machine, plot
from benchmarks.measure import Sizes
from benchmarks.peers import PEERS
from benchmarks.scenarios import SCENARIOS, USUAL

_EPILOG = """\
x link: times as long as one copy of the payload takes at the ports' rate; x rsync, x udpcast: as that peer takes.
sent/byte: bytes on the sender's wire for each byte of payload; wire/byte: bytes that all hosts together sent.
TCP peers' bytes are 2 to 5 % too low: segmentation offload hides headers. cpu s: all processes on all hosts.
Not shaped (--rate 0), the figures measure this machine's processors, since all hosts share them.
docs/performance.md says what each figure means.
"""


def parse(arguments: Sequence[str] | None) -> Namespace:
    """The options, checked; ends the program with one line where they cannot be carried out."""
    parser = _parser()
    options = parser.parse_args(arguments)
    options.peers = options.peers.split(",")
    for given, known in ((options.scenarios, SCENARIOS), (options.peers, PEERS)):
        for unknown in set(given).difference(known):
            parser.error(f"{unknown!r} is none of {', '.join(known)}")
    if options.receivers < 1 or options.runs < 1 or options.scale <= 0 or not 0 <= options.loss < 1:
        parser.error("receivers and runs are at least 1, the scale is above 0, the loss from 0 to below 1")
    if min(options.counts) < 1 or not all(0 <= loss < 1 for loss in options.losses):
        parser.error("--counts are at least 1 each, --losses from 0 to below 1")
    if options.table and options.scenarios:
        parser.error("--table runs what it needs; name no scenarios with it")
    options.sizes = Sizes().scaled(options.scale)
    if options.install:
        return options
    options.scenarios = options.scenarios or list(USUAL)
    if "slow" in options.scenarios and options.receivers < 2:
        parser.error("slow compares one receiver with the others: it needs --receivers 2 or more")
    if options.plot is not None and (options.table or not plot.drawable(options.scenarios)):
        parser.error("--plot draws the scenarios receivers and loss; name one of them")
    if options.plot is not None and not machine.can_draw():
        parser.error("--plot needs matplotlib: tools/bench --install, or pip install 'l2sync[bench]'")
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tools/bench",
        description="Measure l2sync and others on a segment of virtual hosts. Needs root.",
        epilog="scenarios:\n"
        + "".join(f"  {name:10} {scenario.about}\n" for name, scenario in SCENARIOS.items())
        + f"\n{_EPILOG}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("scenarios", nargs="*", metavar="SCENARIO", help=f"see below; default: {' '.join(USUAL)}")
    add("--peers", default="l2sync,rsync,udpcast", help=f"with commas between, of {', '.join(PEERS)} (%(default)s)")
    add("--receivers", type=int, default=8, metavar="N", help="hosts that get the data (default: %(default)s)")
    add("--rate", type=_rate, metavar="R", help="Mbit/s of each port, 0: not shaped (default: 100, receivers 50, …)")
    add("--loss", type=float, default=0.0, metavar="P", help="probability that a receiver loses a frame (%(default)g)")
    add("--mtu", type=int, default=1500, help="of every interface (default: %(default)s)")
    add("--counts", type=_counts, default=(1, 2, 4, 8, 16), metavar="N,…", help="of receivers (1,2,4,8,16)")
    add("--losses", type=_losses, default=(0.0, 0.05), metavar="P,…", help="of scenario loss (0,0.05)")
    add("--runs", type=int, default=1, help="how often; the median is shown (default: %(default)s)")
    add("--table", action="store_true", help="run all that must hold, and print line, figure, wanted, got, ok")
    add("--json", action="store_true", help="everything measured, as JSON")
    add("--plot", type=Path, metavar="FILE.png", help="draw time against receivers, and against loss")
    add("--install", action="store_true", help="install what the peers and pictures lack, and do nothing else")
    add("--workdir", type=Path, help="where the trees are made (default: /dev/shm, or /var/tmp if it is too small)")
    add("--keep", action="store_true", help="leave trees and logs in the working directory")
    add("--command", type=Path, help="the l2sync to measure")
    add("--timeout", type=float, default=600.0, metavar="S", help="seconds for each transfer (default: %(default)g)")
    add("--scale", type=float, default=1.0, help="of all sizes and counts, for a quick try (default: %(default)g)")
    return parser


def _rate(text: str) -> float:
    if (value := float(text)) < 0:
        raise argparse.ArgumentTypeError("a rate is 0 or more")
    return value


def _counts(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _losses(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))
