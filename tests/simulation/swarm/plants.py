"""Bugs planted on purpose, to see that the swarm bites: see docs/testing.md."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from unittest.mock import patch

import msgspec

from l2sync.cluster import claims, messenger
from l2sync.frames import Kind as FrameKind
from l2sync.modtree import Entry, Order, Resolution, conflict_path
from l2sync.node import plan, rounds, tree

from . import applying, store

_merging = import_module("l2sync.modtree.merge")  # (the package's name for it is its function's)


@dataclass(frozen=True)
class Plant:
    """A bug: what it is, and which value stands where in place of the right one."""

    about: str
    where: object
    name: str
    wrong: Any


def _unheard(self: claims.Claims, *_: object) -> None:
    for claim in self.own():
        claim.waiting.clear()
    _check_grants(self)


def _unanswered(self: claims.Claims, peer: object) -> None:
    for claim in self.own():
        claim.until.update((session, 0) for session in claim.waiting)
    self.dirty = True


def _owe_no_claim(self: messenger.Messenger, peer: Any, serial: int, kind: int, now: int) -> None:
    if kind != FrameKind.LOCK:
        _owe_ack(self, peer, serial, kind, now)


def _seen_strictly(one: Entry, other: Entry) -> bool:
    replica, counter = one.dot
    return one.dot != other.dot and 0 < counter < other.version.counter(replica)


def _observe_forgetting(self: tree.SharedTree, *given: Any) -> list[Entry]:
    made = _observe(self, *given)
    for entry in made:
        if entry.deleted:
            self.tree.remove(entry.path)
    return made


def _in_one_round(given: plan.Plan) -> rounds.Rounds:
    return rounds.Rounds([given.as_targets()], {})


def _mine_wins(mine: Entry | None, theirs: Entry) -> Resolution:
    if mine is None or theirs.version.compare(mine.version) is Order.AFTER:
        return Resolution(theirs, ())
    return Resolution(mine, ())


def _as_its_original(loser: Entry) -> Entry:
    return msgspec.structs.replace(loser, path=conflict_path(loser), link_group=b"")


_check_grants = claims.Claims.check
_observe = tree.SharedTree.observe
_owe_ack = messenger.Messenger.owe_ack


def _nothing(*_: object, **__: object) -> None:
    return None


def _no(*_: object) -> bool:
    return False


def _yes(*_: object) -> bool:
    return True


PLANTS: dict[str, Plant] = {
    "grant-unheard": Plant("a lock is held without anybody's answer", claims.Claims, "check", _unheard),
    "count-any-ack": Plant("an ack of anything answers every claim", claims.Claims, "answered", _unanswered),
    "drop-acks": Plant("claims are never acknowledged", messenger.Messenger, "owe_ack", _owe_no_claim),
    "less-for-less-or-equal": Plant("a write is seen by < instead of <=", _merging, "_seen", _seen_strictly),
    "forget-deletions": Plant(
        "no tombstone is kept of what a user deleted", tree.SharedTree, "observe", _observe_forgetting
    ),
    "no-copies": Plant("what loses leaves no conflict copy", _merging, "_worth_keeping", _no),
    "copies-share-dots": Plant("a conflict copy is versioned as what it copies", _merging, "copy_of", _as_its_original),
    "copies-too-late": Plant("a winner is put in place along with its copies", rounds.Rounds, "of", _in_one_round),
    "mine-wins": Plant("of concurrent versions each node keeps its own", plan, "merge", _mine_wins),
    "no-graves": Plant("a beaten deletion leaves no grave", _merging, "_buried_more", _no),
    "trust-old-state": Plant("a state that fell back is not noticed", store.Store, "fallen_back", _no),
    "overwrite": Plant("what a user saved meanwhile is replaced", applying.Applying, "undisturbed", _yes),
    "show-unfinished": Plant("a file is shown before all of it has come", store.Staged, "complete", _yes),
    "names-not-synced": Plant("names are not durable before the index", applying.Applying, "sync_names", _nothing),
    "bytes-not-synced": Plant("bytes are not durable before their names", applying.Applying, "sync_content", _nothing),
    "tell-first": Plant("changes are told of before they are durable", store.Store, "make_durable", _nothing),
    "adopt-nothing": Plant("what a crash cut short is not adopted", store.Store, "_adopt", _nothing),
}


@contextmanager
def planted(name: str) -> Iterator[None]:
    """Have the bug in the code for a while. Raises KeyError."""
    plant = PLANTS[name]
    with patch.object(plant.where, plant.name, plant.wrong):
        yield
