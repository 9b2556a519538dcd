"""Agents on a bridge that throttles what goes to all, or drops large frames, as switches in the field do."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from .cluster import Cluster, wait

pytestmark = [pytest.mark.root, pytest.mark.slow]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(3, tmp_path) as made:
        made.start()
        made.settle()
        yield made


def copy_files(cluster: Cluster, seed: int) -> None:
    """Some hundred files and a larger one turn up on the first host, and reach all."""
    rng = random.Random(seed)
    tree = cluster.agents[0].tree / f"d{seed}"
    tree.mkdir()
    for number in range(200):
        (tree / f"f{number}").write_bytes(rng.randbytes(rng.randrange(8000)))
    (tree / "big").write_bytes(rng.randbytes(4_000_000))
    cluster.flush()
    cluster.judge()


def segment(cluster: Cluster) -> dict[str, object]:
    status = cluster.agents[0].status()
    assert status is not None
    return dict(status["segment"])


def test_a_tree_arrives_by_another_way_where_broadcast_is_throttled_and_status_says_so(cluster: Cluster) -> None:
    cluster.lab.throttle(broadcast=64)
    copy_files(cluster, 1)
    told = segment(cluster)
    assert told["way"] == "multicast"
    assert "broadcast is throttled" in str(told["suspects"])
    shown = cluster.agents[0].ask("status").stdout
    assert "multicast" in shown and "storm control?" in shown


def test_a_tree_arrives_from_node_to_node_where_neither_way_gets_through(cluster: Cluster) -> None:
    cluster.lab.throttle(broadcast=64, multicast=64)
    copy_files(cluster, 2)
    assert wait(lambda: segment(cluster)["way"] == "from node to node", 60)
    before = cluster.lab.traffic()
    copy_files(cluster, 3)
    sent = [now.sent - then.sent for now, then in zip(cluster.lab.traffic(), before, strict=True)]
    # Everybody's wire carries one copy at the most; the rest is what a few trials and reports take.
    assert all(size < 8_500_000 for size in sent), sent


def test_a_host_that_large_frames_do_not_reach_is_named_and_gets_smaller_ones(cluster: Cluster) -> None:
    cluster.lab.narrow(cluster.lab.hosts[2], 1200)
    copy_files(cluster, 4)
    assert wait(lambda: segment(cluster)["frame"] == 1024, 60)
    assert "frames of more than 1024 bytes do not reach web2" in str(segment(cluster)["suspects"])
    copy_files(cluster, 5)
