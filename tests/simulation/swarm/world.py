"""The swarm's world: hosts on one segment, in simulated time, living through a scenario."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from random import Random

from l2sync.cluster import PeerState
from l2sync.link import Rules, SimulatedSegment

from .host import Host
from .ledger import Ledger
from .plan import MS, SECOND, Scenario


class World:
    """``now`` counts ns; ``ledger`` keeps what users did and what nodes did with it."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.now = SECOND
        rules = Rules(
            loss=scenario.loss,
            duplication=scenario.duplication,
            jitter=scenario.jitter * 1000,
            delay=scenario.delay * 1000,
            rate=scenario.rate,
        )
        self.segment = SimulatedSegment(Random(scenario.seed + 1), rules)
        self.ledger = Ledger(self)
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._order = 0
        self._stale: set[Host] = set()
        self.hosts = [Host(self, number, scenario.seed * 1000 + number) for number in range(scenario.hosts)]
        self._by_port = {host.port: host for host in self.hosts}

    def at(self, time: int, action: Callable[[], None]) -> None:
        """Have something done later."""
        self._order += 1
        heapq.heappush(self._queue, (time, self._order, action))

    def ask_again(self, host: Host) -> None:
        """A host's deadline may have moved."""
        self._stale.add(host)

    def _refresh(self) -> None:
        for host in self._stale:
            host.due = host.deadline()
        self._stale.clear()

    def run(self, duration: int, until: Callable[[], bool] | None = None) -> bool:
        """Let time pass (ns); stops early, and returns True, once ``until`` holds."""
        end = self.now + duration
        while self.now < end:
            if until is not None and until():
                return True
            following = self.segment.next_time()
            times = [end]
            if self._queue:
                times.append(self._queue[0][0])
            if following is not None:
                times.append(following)
            self._refresh()
            times += [host.due for host in self.hosts if host.due is not None]
            self.now = max(self.now, min(times))
            self._turn()
        return until is not None and until()

    def _turn(self) -> None:
        for _, port, payload, source in self.segment.deliver(self.now):
            self._by_port[port].receive(payload, source)
        while self._queue and self._queue[0][0] <= self.now:
            heapq.heappop(self._queue)[2]()
        self._refresh()
        for host in self.hosts:
            if host.due is not None and host.due <= self.now:
                host.due = None
                host.handle_timer()

    # --- looking ----------------------------------------------------------------------------------

    def running(self) -> list[Host]:
        """Hosts whose agent runs."""
        return [host for host in self.hosts if host.node is not None]

    def joined(self) -> bool:
        """Whether all running nodes are members and see each other."""
        nodes = [host.node for host in self.running() if host.node is not None]
        sessions = {node.cluster.session for node in nodes}
        return len({node.cluster.id for node in nodes}) == len(nodes) and all(
            {p.session for p in node.cluster.peers.values() if p.state is PeerState.ONLINE}
            == sessions - {node.cluster.session}
            for node in nodes
        )

    def in_sync(self) -> bool:
        """Whether all running nodes say so of themselves, and their disks agree."""
        if not self.joined():
            return False
        if not all(host.node is not None and host.node.status(host.now).in_sync for host in self.running()):
            return False
        views = [{p: host.store.observe(p).look() for p in host.store.volume.live} for host in self.running()]
        return all(view == views[0] for view in views)


__all__ = ["MS", "SECOND", "World"]
