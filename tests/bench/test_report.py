"""What is made of results: the table for people, the table of what must hold, the picture."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from benchmarks import options, plot, report, table  # noqa: E402
from benchmarks.measure import Conditions, Result  # noqa: E402
from benchmarks.peers import PEERS  # noqa: E402
from benchmarks.scenarios import SCENARIOS  # noqa: E402


def big(peer: str, seconds: float, label: str = "", receivers: int = 8) -> Result:
    conditions = Conditions(receivers=receivers)
    return Result(
        "receivers" if label else "big", peer, seconds=seconds, payload=10**8, label=label, conditions=conditions
    )


def test_the_report_shows_ratios_failures_and_differences() -> None:
    good = big("l2sync", 10.0)
    good.sender_bytes, good.segment_bytes = 103_000_000, 104_000_000
    unequal = big("rsync", 80.0)
    unequal.differences = [">f"]
    results = [good, unequal, Result("tree", "l2sync", failure="it broke")]
    results.append(Result("idle", "l2sync", seconds=20.0, figures={"cpu_percent_worst": 0.5}))
    lines = report.table(results).splitlines()
    assert lines[2].split() == ["l2sync", "10.00", "1.25", "0.12", "1.030", "1.040", "0.00", "0", "yes"]
    assert "DIFFERENT" in lines[3]
    assert "FAILED: it broke" in report.table(results)
    assert "cpu_percent_worst 0.50" in report.table(results)


def test_the_median_of_several_runs_is_shown_with_the_extremes() -> None:
    assert "11.00 (10.00..30.00)" in report.table([big("l2sync", seconds) for seconds in (10.0, 30.0, 11.0)])


LINE = table.Line("big", "time / rsync's", "round", "big", lambda result: result.seconds, most=0.5, against="rsync")


@pytest.mark.parametrize(("mine", "theirs", "ok"), [(5.0, 10.0, True), (5.1, 10.0, False)])
def test_a_line_holds_up_to_its_limit(mine: float, theirs: float, ok: bool) -> None:
    assert table.judge(LINE, [big("l2sync", mine), big("rsync", theirs)]).ok is ok


def test_a_line_does_not_hold_after_a_failure_unequal_trees_or_no_measurement() -> None:
    broken, unequal = big("l2sync", 1.0), big("rsync", 10.0)
    broken.failure, unequal.differences = "it broke\nbadly", [">f"]
    assert table.judge(LINE, [broken, big("rsync", 10.0)]).got == "l2sync failed: it broke"
    for results in ([broken, big("rsync", 10.0)], [big("l2sync", 1.0), unequal], [big("l2sync", 1.0)], []):
        assert not table.judge(LINE, results).ok


def test_a_line_over_several_labels_is_judged_by_the_worst() -> None:
    line = table.Line("fan-out", "time", "round", "receivers", lambda result: result.seconds, most=11.0)
    results = [big("l2sync", 10.0, "1 receivers"), big("l2sync", 12.0, "16 receivers")]
    assert (table.judge(line, results).got, table.judge(line, results).ok) == ("12", False)


def test_every_line_draws_on_a_round_that_measures_it() -> None:
    for line in table.LINES:
        one = table.ROUNDS[line.round]
        assert line.scenario in one.scenarios
        assert {"l2sync", line.against or "l2sync"} <= set(one.peers)
        assert all(line.scenario in PEERS[peer].scenarios for peer in one.peers if peer in ("l2sync", line.against))


def test_the_table_is_markdown_and_says_when_it_was_only_tried() -> None:
    rows = [table.Row("a | b", "time", "≤ 1", "0.5", True), table.Row("c", "bytes", "", "3", True, judged=False)]
    text = table.as_markdown(rows, "two cores", {"rsync": "3"}, scale=0.1, runs=3)
    assert "no results" in text
    assert text.splitlines()[-1] == "| c | bytes |  | 3 |  |"
    assert "no results" not in table.as_markdown(rows, "two cores", {}, scale=1.0, runs=1)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["bigg"], "'bigg' is none of"),
        (["--peers", "rcp"], "'rcp' is none of"),
        (["slow", "--receivers", "1"], "--receivers 2"),
        (["big", "--plot", "x.png"], "receivers and loss"),
        (["big", "--table"], "name no scenarios"),
        (["--losses", "2"], "below 1"),
        (["--rate", "-1"], "0 or more"),
    ],
)
def test_wrong_usage_is_named(arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        options.parse(arguments)
    assert complaint in capsys.readouterr().err


@pytest.mark.slow
def test_a_picture_is_drawn_of_the_sweeps(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    results = [
        big(peer, seconds, f"{n} receivers", n) for peer, seconds in (("l2sync", 9.0), ("rsync", 50.0)) for n in (1, 8)
    ]
    plot.draw(results, tmp_path / "sweep.png")
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")


def test_scenarios_say_what_they_are() -> None:
    assert all(scenario.about and (scenario.act or scenario.play) for scenario in SCENARIOS.values())
