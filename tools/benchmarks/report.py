"""Results as a table for people and as JSON for programs; of several runs the median is shown."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.scenarios import SCENARIOS, Result

_HEADINGS = ("peer", "seconds", "x link", "x rsync", "x udpcast", "sent/byte", "wire/byte", "cpu s", "peak MB", "equal")


def table(results: Sequence[Result], rate: float) -> str:
    """One block for each scenario, one line for each peer."""
    blocks = []
    for scenario in SCENARIOS:
        lines = _lines([result for result in results if result.scenario == scenario], rate)
        if lines:
            blocks.append(_align(scenario, lines))
    return "\n\n".join(blocks)


def as_json(results: Sequence[Result], settings: dict[str, Any], rate: float) -> dict[str, Any]:
    """Everything measured, each run by itself, with the ratios."""
    return {
        "settings": settings,
        "results": [
            {**asdict(result), "link_ratio": _link_ratio(result, rate), "differences": result.differences[:20]}
            for result in results
        ],
    }


def _lines(results: Sequence[Result], rate: float) -> list[Sequence[str]]:
    peers = {result.peer: [one for one in results if one.peer == result.peer] for result in results}
    seconds = {peer: _median(runs, lambda run: run.seconds) for peer, runs in peers.items()}
    lines: list[Sequence[str]] = []
    for peer, runs in peers.items():
        good = [run for run in runs if not run.failure]
        lines += [[peer, f"FAILED: {run.failure}"] for run in runs if run.failure]
        if not good:
            continue
        if good[0].scenario in ("latency", "idle"):
            figures = {key: statistics.median(run.figures[key] for run in good) for key in good[0].figures}
            equal = "equal" if not any(run.differences for run in good) else "DIFFERENT"
            lines.append([peer, "  ".join(f"{key} {value:.2f}" for key, value in figures.items()), equal])
            continue
        link = _median(good, lambda run: _link_ratio(run, rate) or 0.0)
        lines.append(
            [
                peer,
                _spread([run.seconds for run in good]),
                f"{link:.2f}" if rate else "",
                *(_ratio(seconds[peer], seconds.get(other)) for other in ("rsync", "udpcast")),
                f"{_median(good, lambda run: run.sender_bytes / max(1, run.payload)):.3f}",
                f"{_median(good, lambda run: run.segment_bytes / max(1, run.payload)):.3f}",
                f"{_median(good, lambda run: run.cpu):.2f}",
                f"{max(run.peak for run in good) / 1e6:.0f}",
                "DIFFERENT" if any(run.differences for run in good) else "yes",
            ]
        )
    return lines


def _align(scenario: str, lines: Iterable[Sequence[str]]) -> str:
    rows = [row for row in lines if len(row) == len(_HEADINGS)]
    others = [row for row in lines if len(row) != len(_HEADINGS)]
    text = [f"== {scenario}"]
    if rows:
        rows.insert(0, _HEADINGS)
        widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
        text += ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    text += ["  ".join(row) for row in others]
    return "\n".join(text)


def _link_ratio(result: Result, rate: float) -> float | None:
    """How many times as long as the payload alone takes on the wire."""
    if not rate or not result.payload or result.failure or result.scenario in ("latency", "idle"):
        return None
    return result.seconds / (result.payload * 8 / (rate * 1e6))


def _median(runs: Sequence[Result], figure: Callable[[Result], float]) -> float:
    values = [figure(run) for run in runs if not run.failure]
    return statistics.median(values) if values else 0.0


def _spread(values: Sequence[float]) -> str:
    middle = f"{statistics.median(values):.2f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.2f}..{max(values):.2f})"


def _ratio(mine: float, other: float | None) -> str:
    return f"{mine / other:.2f}" if mine and other else ""
