"""Drives spin: exhaustive checks of a model, and random walks through it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

MODELS = Path(__file__).parents[2] / "docs" / "model"
_MOST_SECONDS = 300


def check(model: str, flags: str, formula: str, work: Path, optimize: str = "-O0") -> str:
    """Search all runs of a model with these -D flags; what error there is, or nothing.

    With a ``formula`` (one of the model's ltl blocks) only runs that violate it under weak fairness count, and without
    one only assertions and ends of a run that are none.
    """
    _run(["spin", "-a", *flags.split(), str(MODELS / model)], work)
    compiled = ["-DNFAIR=4"] if formula else ["-DSAFETY", "-DNOCLAIM"]
    _run(["gcc", optimize, "-w", "-DCOLLAPSE", "-DMEMLIM=2000", *compiled, "-o", "pan", "pan.c"], work)
    chosen = ["-A", "-a", "-f", "-N", formula] if formula else []
    out = _run(["./pan", "-m500000", "-n", *chosen], work)
    found = re.search(r"^pan:1: (.*) \(at depth", out, re.M)
    assert "errors: 0" in out or found, out
    assert "too small" not in out and "out of memory" not in out, out
    return found.group(1) if found else ""


def walk(model: str, flags: str, seed: int, work: Path) -> list[str]:
    """What one random run of a model prints, line by line."""
    out = _run(["spin", "-T", f"-n{seed}", "-u20000", *flags.split(), str(MODELS / model)], work)
    assert "assertion" not in out, out
    return out.splitlines()


def _run(command: list[str], work: Path) -> str:
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=_MOST_SECONDS, check=False)
    out = done.stdout + done.stderr
    assert not re.search(r"syntax error|saw '", out), out
    return out
