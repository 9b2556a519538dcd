"""Bounds and waiting times of the cluster protocol; times in ns."""

from __future__ import annotations

from dataclasses import dataclass

MS = 1_000_000
SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """What a deployment may tune; the same on all nodes works best, but nothing depends on it."""

    hello_tries: int = 3
    hello_interval: int = 100 * MS
    gather_min: int = 5 * MS
    gather_max: int = 30 * MS
    """Welcomes and registers wait a random time between these, so that one frame serves many."""
    challenge_interval: int = 200 * MS
    register_interval: int = 100 * MS
    register_timeout: int = 5 * SECOND
    ping_interval: int = SECOND
    pings_missed: int = 3
    announce_interval: int = 100 * MS
    ack_delay: int = 10 * MS
    initial_rto: int = 200 * MS
    min_rto: int = 20 * MS
    max_rto: int = SECOND
    answer_timeout: int = 5 * SECOND
    """A peer that leaves a message unanswered for this long is offline, even if it still pings."""
    settled: int = SECOND
    """A member of this age keeps its id against a newcomer; younger ones compare sessions."""
    window: int = 256
    """Fragments of one stream that may be unanswered."""
    most_sessions: int = 4096
    """Sessions remembered as over, and candidates kept, at the most."""
