"""The fuzzer: which target, from which corpus, for how long, and what is kept."""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["l2sync"]):
    from tests.hostile import seeds, targets

CORPUS = Path(__file__).resolve().parent.parent / "tests" / "hostile" / "corpus"
_INNER = "L2SYNC_FUZZ_TARGET"
_LONGEST = {"parser": 2048, "node": 8192}


def main() -> None:
    """The command."""
    if inner := os.environ.get(_INNER):
        return _run(inner)
    parser = argparse.ArgumentParser(prog="tools/fuzz", description=__doc__)
    parser.add_argument("target", choices=list(targets.TARGETS))
    parser.add_argument("files", nargs="*", type=Path, help="run these inputs once, and end")
    parser.add_argument("--minutes", type=float, default=1.0, help="how long (default 1)")
    parser.add_argument("--work", type=Path, help="keep all inputs here, and go on from them the next time")
    parser.add_argument("--keep", action="store_true", help=f"choose a small corpus anew, for {CORPUS.name}/TARGET")
    chosen = parser.parse_args()
    if chosen.files:
        for file in chosen.files:
            targets.TARGETS[chosen.target](file.read_bytes())
        return print(f"{len(chosen.files)} inputs: nothing wrong")
    with tempfile.TemporaryDirectory(prefix="l2s-fuzz-") as made:
        work = chosen.work or Path(made)
        _sow(chosen.target, work)
        started = time.monotonic()
        limits = f"-max_total_time={max(int(chosen.minutes * 60), 1)} -max_len={_LONGEST[chosen.target]} "
        limits += f"-rss_limit_mb=2048 -timeout=60 -print_final_stats=1 -artifact_prefix={Path.cwd()}/"
        code = _inner(chosen.target, limits, work)
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
        took = f"{time.monotonic() - started:.0f} s, {spent.ru_utime + spent.ru_stime:.0f} s of CPU time"
        print(f"tools/fuzz: {chosen.target}, {took}, {'clean' if not code else 'a find'}")
        if not code and chosen.keep:
            code = _choose(chosen.target, work)
    sys.exit(code)


def _sow(target: str, work: Path) -> None:
    """Have the seeds and the kept corpus in the working directory."""
    work.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate({"parser": seeds.parser_seeds, "node": seeds.node_seeds}[target]()):
        (work / f"seed-{number}").write_bytes(seed)
    for file in sorted((CORPUS / target).glob("*")):
        shutil.copy(file, work / file.name)


def _choose(target: str, work: Path) -> int:
    """The smallest set of inputs that reaches what all reach becomes the corpus of the tests."""
    with tempfile.TemporaryDirectory(prefix="l2s-fuzz-") as made:
        code = _inner(target, "-set_cover_merge=1 -rss_limit_mb=2048", Path(made), work)
        if not code:
            shutil.rmtree(CORPUS / target, ignore_errors=True)
            shutil.copytree(made, CORPUS / target)
            print(f"tools/fuzz: {len(list((CORPUS / target).iterdir()))} inputs are kept in {CORPUS / target}")
    return code


def _inner(target: str, options: str, *directories: Path) -> int:
    command = [sys.executable, __file__, *options.split(), *map(str, directories)]
    return subprocess.run(command, check=False, env={**os.environ, _INNER: target}).returncode


def _run(target: str) -> None:
    """Hand over to libFuzzer, which has the command line to itself, starts it again at will, and ends the process."""
    # Its shell splits this again.
    options = [f"{sys.executable} {__file__}", *sys.argv[1:]]
    if target == "node":
        atheris.Setup(options, targets.node, custom_mutator=_mutate_steps)
    else:
        atheris.Setup(options, targets.parser)
    atheris.Fuzz()


def _mutate_steps(data: bytes, most: int, seed: int) -> bytes:
    """Change one step, or their order; bytes at random would mostly break the steps' lengths."""
    rng = random.Random(seed)
    known = list(targets.steps(data))
    if not known or rng.random() < 0.05:
        return bytes(atheris.Mutate(data, most))
    at = rng.randrange(len(known))
    what, flags, content = known[at]
    way = rng.randrange(10)
    if way == 0:
        known.insert(rng.randrange(len(known) + 1), known[at])
    elif way == 1 and len(known) > 1:
        del known[at]
    elif way == 2:
        known.insert(rng.randrange(len(known)), known.pop(at))
    elif way == 3:
        known[at] = (what, flags ^ 1 << rng.randrange(6), content)
    elif way == 4:
        other = rng.choice((targets.PASSES, targets.WRITES, targets.DELETES, rng.randrange(len(targets.Kind))))
        known.insert(at, (other, rng.choice((0, targets.TO_ONE)), rng.randbytes(rng.randrange(1, 60))))
    else:
        changed = atheris.Mutate(content or b"\0", min(len(content) + 64, 4096))
        known[at] = (what, flags, bytes(changed))
    return b"".join(targets.packed_step(*step) for step in known)[:most]


if __name__ == "__main__":
    main()
