"""What the fuzzer has found to reach the most: a small set of inputs, run anew each time (see tools/fuzz)."""

from __future__ import annotations

from pathlib import Path

import pytest

from .seeds import conversation, node_seeds, parser_seeds
from .targets import TARGETS, Attack, packed_step, steps

CORPUS = Path(__file__).parent / "corpus"


def test_the_corpus_and_the_seeds_of_the_parser_parse_or_raise_remote_error() -> None:
    kept = [file.read_bytes() for file in sorted((CORPUS / "parser").iterdir())]
    assert len(kept) > 50
    for data in [*kept, *parser_seeds()]:
        TARGETS["parser"](data)


@pytest.mark.slow
def test_the_corpus_and_the_seeds_of_the_node_do_it_no_harm() -> None:
    kept = [file.read_bytes() for file in sorted((CORPUS / "node").iterdir())]
    assert len(kept) > 50
    for data in [*kept, *node_seeds()]:
        TARGETS["node"](data)


def test_a_seed_reaches_the_disk_so_that_mutations_of_it_can() -> None:
    attack = Attack()
    attack.run(b"".join(conversation(b"new")))
    assert b"new" in attack.host.disk.files


def test_steps_are_read_as_they_were_written() -> None:
    told = [(3, 0, b"abc"), (0x80, 1, b""), (255, 255, bytes(300))]
    assert list(steps(b"".join(packed_step(*step) for step in told))) == told
