"""A picture of the sweeps: time against the number of receivers, and against loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import Result
from benchmarks.report import median

_PANELS: dict[str, tuple[str, Callable[[Result], float]]] = {
    "receivers": ("receivers", lambda result: result.conditions.receivers),
    "loss": ("frames lost at each receiver, %", lambda result: result.conditions.loss * 100),
}


def drawable(scenarios: Sequence[str]) -> list[str]:
    """The scenarios of these that have a picture."""
    return [scenario for scenario in _PANELS if scenario in scenarios]


def draw(results: Sequence[Result], file: Path) -> None:
    """One panel for each sweep among the results, one line for each peer. Needs matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = drawable([result.scenario for result in results if not result.failure])
    figure, axes = pyplot.subplots(1, max(1, len(shown)), figsize=(6.0 * max(1, len(shown)), 4.5), squeeze=False)
    for scenario, axis in zip(shown, axes[0], strict=False):
        _panel(axis, scenario, [result for result in results if result.scenario == scenario and not result.failure])
    figure.tight_layout()
    figure.savefig(file, dpi=110)
    pyplot.close(figure)


def _panel(axis: Any, scenario: str, results: Sequence[Result]) -> None:
    label, place = _PANELS[scenario]
    for peer in dict.fromkeys(result.peer for result in results):
        mine = [result for result in results if result.peer == peer]
        places = sorted({place(result) for result in mine})
        times = [median([one for one in mine if place(one) == x], lambda run: run.seconds) for x in places]
        axis.plot(places, times, marker="o", label=peer)
    conditions = results[0].conditions
    payload = max(result.payload for result in results)
    if conditions.rate:
        axis.axhline(payload * 8 / (conditions.rate * 1e6), color="grey", linestyle=":", label="one copy at link rate")
    rate = f"{conditions.rate:g} Mbit/s" if conditions.rate else "not shaped"
    axis.set(title=f"{payload / 2**20:.0f} MiB, {rate}, MTU {conditions.mtu}", xlabel=label, ylabel="seconds")
    axis.set_ylim(bottom=0)
    axis.grid(alpha=0.3)
    axis.legend()
