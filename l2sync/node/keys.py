"""What stands against going on with other keys: a node that would be lost by it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from l2sync.cluster import Peer
from l2sync.frames import key_check


def objections(peers: Iterable[Peer], keys: Mapping[int, bytes], active: int) -> list[str]:
    """Why these keys would cut off one of the peers that are online; empty if they would not.

    A peer must be able to open what is sealed with the active key, and what the peer seals with must be among ours.
    """
    checks = {key_id: key_check(key) for key_id, key in keys.items()}
    found = []
    for peer in peers:
        if not peer.keys:
            found.append(f"{peer.name} has not said yet which keys it knows: try again in a few seconds")
            continue
        theirs = {known.key_id: known.check for known in peer.keys}
        seals = peer.keys[0]
        if theirs.get(active) != checks[active]:
            other = "another key with the id" if active in theirs else "no key"
            found.append(f"{peer.name} knows {other} {active}: add this key there first, behind the one in use")
        if checks.get(seals.key_id) != seals.check:
            found.append(f"{peer.name} still seals with key {seals.key_id}: it must use the new key before this goes")
    return found
