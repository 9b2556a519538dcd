from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

from l2sync.cli.lab import Lab
from tests.link.harness import Bench, PacketBench, SimulatedBench

HOSTS = 3


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("namespaces need root and iproute2")
    with Lab(HOSTS) as made:
        yield made


@pytest.fixture(params=["simulated", pytest.param("packet", marks=[pytest.mark.root, pytest.mark.slow])])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    made: Bench = SimulatedBench(HOSTS) if request.param == "simulated" else PacketBench(request.getfixturevalue("lab"))
    yield made
    made.close()


@pytest.fixture
def packet_bench(lab: Lab) -> Iterator[PacketBench]:
    made = PacketBench(lab)
    yield made
    made.close()
