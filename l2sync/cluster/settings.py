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
    crowd: int = 16
    """More nodes than these are a crowd: registers are answered together, and if so many are new, it is waited longer
    for yet more."""
    challenge_interval: int = 200 * MS
    register_interval: int = 100 * MS
    register_timeout: int = 5 * SECOND
    ping_interval: int = SECOND
    pings_missed: int = 3
    announce_interval: int = 100 * MS
    ack_delay: int = 25 * MS
    """As long as QUIC waits (RFC 9000, section 18.2): one serves what is said of a batch when staged and committed."""
    initial_rto: int = 200 * MS
    min_rto: int = 20 * MS
    max_rto: int = SECOND
    answer_timeout: int = 5 * SECOND
    """A peer that leaves a message unanswered for this long is offline, even if it still pings."""
    settled: int = SECOND
    """A member of this age keeps its id against a newcomer; younger ones compare sessions."""
    doubt_after: int = 3
    """So many repetitions in a row are a sign that frames to a peer's address do not reach it."""
    doubt_patience: int = SECOND
    """They are none before this time: a host short of processor time answers late, and then all at once."""
    doubt_interval: int = 10 * SECOND
    """For so long after such a sign, what is meant for the peer is broadcast."""
    window: int = 256
    """Fragments of one stream that may be unanswered."""
    most_sessions: int = 4096
    """Sessions remembered as over, and candidates kept, at the most."""
    most_peers: int = 1024
    """Sessions that are placed, at the most; the longest offline makes room for another."""
    most_names: int = 4096
    """Names whose ids are remembered."""
    most_names_per_address: int = 16
    """Living members that may speak from one Ethernet address: a bridge may hide a few hosts behind its own."""
    most_newcomers: int = 100
    """Newcomers answered at a time; the others wait for the next welcome."""
    welcome_interval: int = 40 * MS
    """A session is answered no more often, whatever it or a recording of it says."""
    lamport_step: int = 1 << 24
    """How far logical time may be ahead of ours in the usual course of things."""
    lamport_leap: int = 1 << 40
    """How far it may be ahead when two parts of a cluster meet: more than a cluster counts in its life."""
    leap_interval: int = 60 * SECOND
    """Such a leap is followed once in this time, so that nobody can bring the clock to its end."""
    claim_patience: int = 30 * SECOND
    """A batch's claim that stands first, and whose batch makes no progress for this long, has ended."""
    claim_most: int = 12 * 3600 * SECOND
    """How long a claim may stand first: a user's lock, or a batch of which something is heard all the time."""
