"""The table of what l2sync must show: which runs fill it, and what each line wants."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.measure import Result
from benchmarks.report import median
from benchmarks.run import run
from benchmarks.stage import Bench

Figure = Callable[[Result], float | None]


@dataclass(frozen=True, slots=True)
class Round:
    """Scenarios that are run together, and under what."""

    scenarios: tuple[str, ...]
    peers: tuple[str, ...] = ("l2sync",)
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that must hold; neither `most` nor `least`: shown for what it is.

    pick: of results with several labels the one, by the label's first words; "" takes the worst of all.
    against: the peer whose figure divides ours.
    """

    line: str
    figure: str
    round: str
    scenario: str
    value: Figure
    most: float | None = None
    least: float | None = None
    pick: str = ""
    against: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A line, filled."""

    line: str
    figure: str
    wanted: str
    got: str
    ok: bool
    judged: bool = True


_OPEN: Mapping[str, Any] = {"rate": 0.0}
ROUNDS: dict[str, Round] = {
    "shaped": Round(("big", "tree"), settings={"rate": 100.0}),
    "open": Round(("tree", "edits", "idle", "delta"), ("l2sync", "rsync"), _OPEN),
    "jumbo": Round(("big",), ("l2sync", "rsync"), {"rate": 0.0, "mtu": 9000}),
    "alone": Round(("rename", "settle0", "bare"), settings=_OPEN),
    "fan-out": Round(("receivers",), settings={"rate": 50.0}),
    "jumbo fan-out": Round(("receivers",), settings={"rate": 50.0, "mtu": 9000}),
    "hard": Round(("loss", "slow", "storm"), settings={"rate": 100.0}),
    "large": Round(("million", "crowd")),
    "shared": Round(("fair",), settings={"rate": 1000.0}),
}
SCENARIOS_USED = tuple({scenario: None for one in ROUNDS.values() for scenario in one.scenarios})


def _seconds(result: Result) -> float:
    return result.seconds


def _link(result: Result) -> float | None:
    return result.link_ratio


def _sent(result: Result) -> float:
    return result.sender_bytes / max(1, result.payload)


def _segment(result: Result) -> float:
    return result.segment_bytes / max(1, result.payload)


def _special(key: str) -> Figure:
    return lambda result: result.figures.get(key)


_BIG, _TREE = "256 MiB, incompressible, 8 receivers", "10,000 files in 800 directories, 8 receivers"
_FAN, _LOST = "256 MiB, 1 to 16 receivers, 50 Mbit/s, no loss", "256 MiB, 5 % loss at each of 8 receivers, 100 Mbit/s"
_DELTA, _MILLION = "in a file of 1 GiB, 8 receivers", "agents with 1,000,000 entries"
_CROWD, _IDLE = "200 simulated nodes join, then a lock over all", "agents with 10,000 entries, idle"
_EDITS = "100 of 10,000 files rewritten, 8 receivers, not shaped"
_TCP = "two nodes, 500 Mbit/s TCP of a third, 1 Gbit/s"
_STORM = f"{_TREE}, broadcast at 64 kbit/s"
_LATENCY = "a 100-byte file closed to visible on all 8, settle_ms = 0"

LINES = (
    Line(f"{_BIG}, 100 Mbit/s", "time / one copy at link rate", "shaped", "big", _link, 1.07),
    Line(f"{_TREE}, 100 Mbit/s", "time / one copy at link rate", "shaped", "tree", _link, 1.20),
    Line(f"{_TREE}, not shaped", "time / rsync's", "open", "tree", _seconds, 1.0, against="rsync"),
    Line(f"{_BIG}, not shaped, MTU 9000", "time / rsync's", "jumbo", "big", _seconds, 0.8, against="rsync"),
    Line("256 MiB, 1 receiver, not shaped", "rate / a bare loop's", "alone", "bare", _special("of_bare"), least=0.6),
    Line(_FAN, "sender's bytes per byte, MTU 1500", "fan-out", "receivers", _sent, 1.05),
    Line(_FAN, "all hosts' bytes per byte, MTU 1500", "fan-out", "receivers", _segment),
    Line(_FAN, "sender's bytes per byte, MTU 9000", "jumbo fan-out", "receivers", _sent, 1.02),
    Line(_FAN, "all hosts' bytes per byte, MTU 9000", "jumbo fan-out", "receivers", _segment),
    Line(_FAN, "growth of time, MTU 1500", "fan-out", "receivers", _special("growth"), 1.1),
    Line(_LOST, "time / without loss", "hard", "loss", _special("time_ratio"), 1.20),
    Line(_LOST, "bytes / without loss", "hard", "loss", _special("bytes_ratio"), 1.12),
    Line(f"{_BIG}, one at a tenth", "time of the others / all even", "hard", "slow", _special("others_ratio"), 1.2),
    Line(_STORM, "rate / multicast's", "hard", "storm", _special("of_multicast"), least=0.8, pick="broadcast"),
    Line(f"{_STORM}, multicast too", "rate / multicast's", "hard", "storm", _special("of_multicast"), pick="both"),
    Line(_LATENCY, "median, ms", "alone", "settle0", _special("median_ms"), 15.0),
    Line(_LATENCY, "99th percentile, ms", "alone", "settle0", _special("p99_ms"), 60.0),
    Line(_EDITS, "time / rsync's", "open", "edits", _seconds, 0.5, against="rsync"),
    Line(f"1 kB overwritten {_DELTA}", "kB on the wire", "open", "delta", _special("wire_kb"), 300.0, pick="over"),
    Line(f"1 kB overwritten {_DELTA}", "time / rsync's", "open", "delta", _seconds, 0.5, pick="over", against="rsync"),
    Line(f"1 kB inserted {_DELTA}", "kB on the wire", "open", "delta", _special("wire_kb"), 300.0, pick="ins"),
    Line(f"1 kB inserted {_DELTA}", "time / rsync's", "open", "delta", _seconds, 0.5, pick="ins", against="rsync"),
    Line("a directory of 1 GiB renamed, 8 receivers", "kB on the wire", "alone", "rename", _special("wire_kb"), 50.0),
    Line(_IDLE, "% of a core, worst", "open", "idle", _special("cpu_percent_worst"), 0.3),
    Line(_IDLE, "MB of memory, worst", "open", "idle", _special("memory_mb_worst"), 80.0),
    Line(_MILLION, "MB of memory, worst", "large", "million", _special("memory_mb_worst"), 350.0, pick="idle"),
    Line(_MILLION, "MB at the most while restarting", "large", "million", _special("peak_mb"), pick="restart"),
    Line(_MILLION, "s from restart to in sync", "large", "million", _special("restart_s"), 60.0, pick="restart"),
    Line(_MILLION, "% of a core idle, worst", "large", "million", _special("cpu_percent_worst"), 1.0, pick="idle"),
    Line(_MILLION, "kB to find 100 differences", "large", "million", _special("exchanged_kb"), 200.0, pick="diff"),
    Line(_CROWD, "frames sent per node", "large", "crowd", _special("frames_mean"), 20.0),
    Line(_CROWD, "simulated s", "large", "crowd", _special("simulated_s"), 3.0),
    Line(_TCP, "what TCP keeps", "shared", "fair", _special("tcp_kept"), least=0.4),
)


def fill(bench: Bench, runs: int = 1) -> tuple[list[Row], list[Result]]:
    """Run every round, and judge every line by the median of the runs."""
    gathered: dict[str, list[Result]] = {name: [] for name in ROUNDS}
    for _ in range(runs):
        for name, one in ROUNDS.items():
            gathered[name] += run(replace(bench, **one.settings), one.peers, one.scenarios)
    rows = [judge(line, gathered[line.round]) for line in LINES]
    return rows, [result for results in gathered.values() for result in results]


def judge(line: Line, results: Sequence[Result]) -> Row:
    """What a line has got; a failure, unequal trees or a missing figure is no success."""
    wanted = _wanted(line)
    mine = list(_of(line, results, "l2sync"))
    rivals = list(_of(line, results, line.against)) if line.against else []
    judged = line.most is not None or line.least is not None
    for result in [*mine, *rivals]:
        if not result.good:
            reason = result.failure.splitlines()[0] if result.failure else "the trees differ"
            return Row(line.line, line.figure, wanted, f"{result.peer} failed: {reason}", False, judged)
    values = list(_values(line, mine))
    other = median(rivals, line.value) if line.against else 1.0
    if not values or not other:
        return Row(line.line, line.figure, wanted, "not measured", False, judged)
    got = (min(values) if line.least is not None else max(values)) / other
    good = (line.most is None or got <= line.most) and (line.least is None or got >= line.least)
    return Row(line.line, line.figure, wanted, f"{got:.3g}", good, judged)


def as_markdown(rows: Sequence[Row], machine: str, versions: Mapping[str, str], scale: float, runs: int) -> str:
    """The table with what it was measured on."""
    tools = "; ".join(f"{name}: {version}" for name, version in versions.items())
    text = ["# Results", "", f"{machine}. {tools}. Median of {runs} run{'s' if runs > 1 else ''}.", ""]
    if scale != 1.0:
        text += [f"**Tried at {scale:g} of the sizes: these are no results.**", ""]
    text += ["| line | figure | wanted | got | ok |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        ok = ("yes" if row.ok else "**no**") if row.judged else ""
        got = row.got.replace("|", "\\|")
        text.append(f"| {row.line} | {row.figure} | {row.wanted} | {got} | {ok} |")
    return "\n".join(text)


def _of(line: Line, results: Sequence[Result], peer: str) -> Iterator[Result]:
    for result in results:
        here = result.scenario == line.scenario and result.peer == peer
        if here and (result.failure or result.label.startswith(line.pick)):
            yield result


def _values(line: Line, mine: Sequence[Result]) -> Iterator[float]:
    for label in dict.fromkeys(result.label for result in mine):
        value = median([result for result in mine if result.label == label], line.value)
        if value is not None:
            yield value


def _wanted(line: Line) -> str:
    if line.most is not None:
        return f"≤ {line.most:g}"
    return "" if line.least is None else f"≥ {line.least:g}"
