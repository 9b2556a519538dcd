"""Results as a table for people and as JSON for programs; of several runs the median is shown."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.measure import Result
from benchmarks.scenarios import SCENARIOS

_HEADINGS = ("peer", "seconds", "x link", "x rsync", "x udpcast", "sent/byte", "wire/byte", "cpu s", "peak MB", "equal")
_RATIOS = ("rsync", "udpcast")
_BARE_FIGURES = frozenset({"latency", "settle0", "idle", "million", "crowd", "replay", "ideal"})
"""Scenarios whose time is no time of a transfer."""
_UNTOLD = frozenset({"flushed_after"})


def table(results: Sequence[Result]) -> str:
    """One block for each scenario, one line for each peer and label."""
    blocks = []
    for scenario in SCENARIOS:
        here = [result for result in results if result.scenario == scenario]
        if here:
            blocks.append(_align(scenario, _lines(here)))
    return "\n\n".join(blocks)


def as_json(results: Sequence[Result], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Everything measured, each run by itself, with the ratios."""
    return {
        "settings": dict(settings),
        "results": [
            {**asdict(result), "link_ratio": result.link_ratio, "differences": result.differences[:20]}
            for result in results
        ],
    }


def median(runs: Iterable[Result], figure: Callable[[Result], float | None]) -> float | None:
    """Of the runs that have the figure; None if none has."""
    values = [value for run in runs if not run.failure and (value := figure(run)) is not None]
    return statistics.median(values) if values else None


def _lines(results: Sequence[Result]) -> list[Sequence[str]]:
    runs: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        runs.setdefault((result.peer, result.label), []).append(result)
    lines: list[Sequence[str]] = []
    for (peer, label), same in runs.items():
        name = f"{peer}, {label}" if label else peer
        lines += [[name, f"FAILED: {run.failure}"] for run in same if run.failure]
        good = [run for run in same if not run.failure]
        if not good:
            continue
        if good[0].scenario not in _BARE_FIGURES:
            others = [runs.get((other, label), []) for other in _RATIOS]
            lines.append(_figures(name, good, others))
        if figures := _special(good):
            equal = [_equal(good)] if good[0].scenario in _BARE_FIGURES else []
            lines.append([name, figures, *equal])
    return lines


def _figures(name: str, runs: Sequence[Result], others: Sequence[Sequence[Result]]) -> list[str]:
    seconds = [run.seconds for run in runs]
    link = median(runs, lambda run: run.link_ratio)
    return [
        name,
        _spread(seconds),
        "" if link is None else f"{link:.2f}",
        *(_ratio(statistics.median(seconds), median(other, lambda run: run.seconds)) for other in others),
        f"{statistics.median(run.sender_bytes / max(1, run.payload) for run in runs):.3f}",
        f"{statistics.median(run.segment_bytes / max(1, run.payload) for run in runs):.3f}",
        f"{statistics.median(run.cpu for run in runs):.2f}",
        f"{max(run.peak for run in runs) / 1e6:.0f}",
        _equal(runs),
    ]


def _special(runs: Sequence[Result]) -> str:
    """What only this scenario measures, in one line."""
    keys = [key for key in runs[0].figures if key not in _UNTOLD]
    middles = {key: median(runs, lambda run, key=key: run.figures.get(key)) for key in keys}
    return "  ".join(f"{key} {value:.2f}" for key, value in middles.items() if value is not None)


def _equal(runs: Sequence[Result]) -> str:
    if any(run.differences for run in runs):
        return "DIFFERENT"
    return f"yes, {runs[0].leniency}" if runs[0].leniency else "yes"


def _align(scenario: str, lines: Iterable[Sequence[str]]) -> str:
    rows = [row for row in lines if len(row) == len(_HEADINGS)]
    others = [row for row in lines if len(row) != len(_HEADINGS)]
    text = [f"== {scenario}: {SCENARIOS[scenario].about}"]
    if rows:
        rows.insert(0, _HEADINGS)
        widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
        text += ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    text += ["  ".join(row) for row in others]
    return "\n".join(text)


def _spread(values: Sequence[float]) -> str:
    middle = f"{statistics.median(values):.2f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.2f}..{max(values):.2f})"


def _ratio(mine: float, other: float | None) -> str:
    return f"{mine / other:.2f}" if mine and other else ""
