"""One host of the swarm: its volume outlives its agent, its driver carries out effects in order as the real one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from l2sync.frames import Keyring
from l2sync.modtree import ModTree, TreePath
from l2sync.node import Node, api

from .applying import commit
from .plan import EPOCH, MS, SECOND
from .store import Paused, Steps, Store

if TYPE_CHECKING:
    from .users import Users
    from .world import World

KEY = bytes(range(32))
TREE = "www"
SETTLE = 50 * MS


class Host:
    """``offset``: what its clock shows beyond the world's, ``wall``: its time of day likewise; ns."""

    def __init__(self, world: World, number: int, seed: int) -> None:
        self.world, self.number, self.name = world, number, f"web{number}"
        self.port = world.segment.add_port()
        self.rng = Random(seed)
        self.store = Store(TREE, self.rng.getrandbits(63) + 1)
        self.registry: dict[str, int] = {}
        self.node: Node | None = None
        self.users: Users
        self.answers: dict[int, api.Answer] = {}
        self.offset = 0
        self.wall = 0
        self.slow = 1
        self.frozen = False
        self.life = 0
        self.due: int | None = None
        """When its node is to be given time next; kept by the world."""
        self.longest_queue = 0
        self.ambushes: deque[Callable[[tuple[TreePath, ...]], None]] = deque()
        self._effects: deque[api.Effect] = deque()
        self._waiting = False
        self._jobs: deque[tuple[Callable[[], Steps], object]] = deque()
        self._job: Steps | None = None
        self._failed: api.DiskEvent | None = None
        self._touched: set[TreePath] = set()
        self._settling = False
        self._paused: str | None = None
        self._missed: list[Callable[[], None]] = []

    @property
    def now(self) -> int:
        """What the host's monotonic clock shows."""
        return self.world.now + self.offset

    # --- life -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the agent."""
        if self.node is not None:
            return
        self.life += 1
        self.store.open(self._fresh_number())
        index = self.store.index
        setup = api.TreeSetup(
            TREE,
            "/www",
            index.replica,
            index.counter,
            ModTree(index.entries.values()),
            self.world.scenario.brake,
            together=index.together,
            lost=index.lost,
        )
        self.node = Node(
            name=self.name,
            session=self.rng.getrandbits(64),
            nonce=self.rng.randbytes(8),
            trees=[setup],
            keyring=Keyring("sim", {1: KEY}, 1),
            mtu=1500,
            registry=self.registry,
            rng=Random(self.rng.getrandbits(32)),
        )
        self.world.ledger.started(self)
        self._tell_wall(self.life)
        self.node.start(self.now)
        self.pump()
        self.post(lambda: self.store.scan(None), None)

    def _fresh_number(self) -> int:
        return Random(self.life * 1000 + self.number).getrandbits(63) + 1

    def _tell_wall(self, life: int) -> None:
        if self.life == life and self.node is not None:
            if not self.frozen:
                self.node.tell_wall((EPOCH + self.world.now + self.wall) // SECOND, self.now)
                self.pump()
            self.world.at(self.world.now + 10 * SECOND, lambda: self._tell_wall(life))

    def stop(self) -> None:
        """The agent is gone between two instructions."""
        self.node = None
        self.life += 1
        self._effects.clear()
        self._jobs.clear()
        self._job = None
        self._touched.clear()
        self._waiting = self._settling = self.frozen = False
        self._paused = None
        self._missed.clear()
        self.world.ask_again(self)

    def freeze(self, frozen: bool) -> None:
        """Stop it as SIGSTOP does, or let it go on; frames that came meanwhile are in its socket."""
        self.frozen = frozen and self.node is not None
        self.world.ask_again(self)
        if not self.frozen:
            missed, self._missed = self._missed, []
            for late in missed[-200:]:
                late()
            self.pump()

    # --- the driver -------------------------------------------------------------------------------

    def receive(self, payload: bytes, source: bytes) -> None:
        """A frame has arrived."""
        if self.frozen:
            self._missed.append(lambda: self.receive(payload, source))
        elif self.node is not None:
            self.node.receive(payload, self.now, source)
            self.pump()

    def submit(self, request: api.Request) -> None:
        """A user asks for something."""
        if self.node is not None and not self.frozen:
            self.node.submit(request, self.now)
            self.pump()

    def report(self, event: api.DiskEvent) -> None:
        """The disk has something to say."""
        if self.node is not None:
            self.node.disk_reported(event, self.now)
            self.pump()

    def deadline(self) -> int | None:
        """When, in the world's time, the node is to be given time; never while effects wait, as in the agent."""
        if self.node is None or self.frozen or self._waiting or self._effects:
            return None
        due = self.node.next_deadline(self.now)
        return None if due is None else max(due - self.offset, self.world.now)

    def handle_timer(self) -> None:
        """Give it time."""
        if self.node is not None:
            self.node.handle_timer(self.now)
            self.pump()

    def pump(self) -> None:
        """Carry out effects in order; stops at one that has to be waited for."""
        if self.node is not None:
            self._effects.extend(self.node.take_effects())
            self.longest_queue = max(self.longest_queue, len(self._effects))
        while self._effects and not self._waiting and self.node is not None:
            self._carry_out(self._effects.popleft())
            if not self._effects:
                self._effects.extend(self.node.take_effects())
        self.world.ask_again(self)

    def _carry_out(self, effect: api.Effect) -> None:
        match effect:
            case api.Send(frame, address):
                if not self.world.segment.transmit(self.port, frame, address, self.world.now):
                    self._effects.appendleft(effect)
                    self._wait(MS // 2)
            case api.SendRun():
                self._effects.extendleft(reversed(list(effect.singly())))
            case api.Persist(_, entries, counter):
                self._waiting = True
                self.post(lambda: self.store.persist(entries, counter), None, ends_wait=True)
            case api.RenewReplica(_, replica, counter):
                self.world.ledger.forget(self)
                self.store.renew(replica, counter)
            case api.Together(_, wall):
                self.store.index.remember(wall)
            case api.Forget(_, paths):
                self.store.index.forget(paths)
            case api.Answer(request):
                self.answers[request] = effect
            case api.RememberIds(registry):
                self.registry = dict(registry)
            case api.Accept() | api.RememberBans():
                pass  # here no root is ever taken for another's, and nobody is banned
            case api.Notify():
                self.world.ledger.notified(self, effect)
            case _:
                self._disk_work(effect)

    def _wait(self, duration: int) -> None:
        self._waiting, life = True, self.life

        def go_on() -> None:
            if self.life == life:
                self._waiting = False
                self.pump()

        self.world.at(self.world.now + duration, go_on)

    def _disk_work(self, effect: api.Effect) -> None:
        store, name = self.store, TREE
        match effect:
            case api.Prepare(_, key, entries, chunks):
                failed: api.DiskEvent = api.Prepared(name, key, (), {e.path: "paused" for e in entries})
                self.post(lambda: store.prepare(key, entries, list(chunks)), failed)
            case api.Store(_, key, chunks):
                told = api.Stored(name, key, sum(len(data) for _, data in chunks))
                self.post(lambda: store.store(key, chunks), told)
            case api.Commit(_, key, targets, last):
                failed = api.Committed(name, key, (), (), {t.entry.path: "paused" for t in targets})
                paths = tuple(t.entry.path for t in targets)
                self.post(lambda: self._ambushed(commit(store, key, targets, last), paths), failed)
            case api.Discard(_, key):
                self.post(lambda: store.discard(key), None)
            case api.ReadChunks(_, key, reads):
                none = api.ChunksRead(name, key, tuple((r.index, None) for r in reads))
                self.post(lambda: store.read_chunks(key, reads), none)
            case api.SetAside(_, paths):
                self.post(lambda: self.set_aside(paths), None)
            case api.Rescan(_, paths):
                self.post(lambda: store.scan(paths), None)
            case api.Explain(_, token, _):
                self.report(api.Explained(name, token))
            case _:
                raise AssertionError(f"an effect that nobody knows: {effect}")

    def set_aside(self, paths: tuple[TreePath, ...]) -> Steps:
        """A user wanted these out of the tree."""
        yield
        self.store.index.forget(paths)
        for path in sorted(paths, reverse=True):
            self.users.remove(self, path)
        return (yield from self.store.scan(None))

    def _ambushed(self, steps: Steps, paths: tuple[TreePath, ...]) -> Steps:
        """A commit during which a user comes by."""
        if not self.ambushes:
            return (yield from steps)
        user, left = self.ambushes.popleft(), self.rng.randrange(2 * len(paths) + 3)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return end.value
            if not left:
                user(paths)
            left -= 1
            yield

    # --- the worker -------------------------------------------------------------------------------

    def post(self, job: Callable[[], Steps], failed: api.DiskEvent | None, ends_wait: bool = False) -> None:
        """Have it done after all asked for before; the node hears of it."""
        self._jobs.append((job, (failed, ends_wait)))
        if self._job is None:
            self._begin()

    def _begin(self) -> None:
        if self._jobs:
            job, (failed, ends_wait) = self._jobs.popleft()  # type: ignore[misc]
            self._job = job()
            self._step(self.life, failed, ends_wait, job)

    def _step(self, life: int, failed: api.DiskEvent | None, ends_wait: bool, job: Callable[[], Steps]) -> None:
        if self.life != life or self._job is None:
            return
        event: object | None = None
        try:
            next(self._job)
        except StopIteration as end:
            event = end.value
        except Paused as paused:
            if ends_wait:  # what is not durable must not be announced: try until it is
                self._job = job()
                self.world.at(self.world.now + SECOND, lambda: self._step(life, failed, ends_wait, job))
                return
            event = failed
            self._pause(str(paused))
        else:
            self.world.ledger.stepped(self)
            self._later(life, failed, ends_wait, job)
            return
        self.world.ledger.stepped(self)
        self._job = None
        if self.life != life:
            return
        if ends_wait:
            self._waiting = False
            self.pump()
        elif event is not None and not (isinstance(event, api.Observed) and self._paused):
            self.report(event)  # type: ignore[arg-type]
        if self._job is None:
            self._begin()

    def _later(self, life: int, failed: api.DiskEvent | None, ends_wait: bool, job: Callable[[], Steps]) -> None:
        pace = self.world.scenario.disk * 1000 * self.slow
        self.world.at(
            self.world.now + self.rng.randrange(pace // 2, 2 * pace), lambda: self._step(life, failed, ends_wait, job)
        )

    def _pause(self, reason: str) -> None:
        if self._paused is None and self.node is not None:
            self._paused = reason
            self.report(api.TreePaused(TREE, reason))
            life = self.life
            self.world.at(self.world.now + SECOND, lambda: self._check_health(life))

    def _check_health(self, life: int) -> None:
        if self.life != life or self.node is None:
            return
        if self.store.full:
            self.world.at(self.world.now + SECOND, lambda: self._check_health(life))
            return
        self._paused = None
        self.report(api.TreeResumed(TREE))
        self.post(lambda: self.store.scan(None), None)

    # --- the watcher ------------------------------------------------------------------------------

    def touched(self, paths: set[TreePath]) -> None:
        """The kernel tells of changes: they are looked at when they have settled."""
        if self.node is None:
            return
        self._touched |= paths
        if not self._settling:
            self._settling, life = True, self.life
            self.world.at(self.world.now + SETTLE, lambda: self._settled(life))

    def _settled(self, life: int) -> None:
        if self.life != life or self.node is None:
            return
        if self._paused or self.frozen:
            self.world.at(self.world.now + SECOND, lambda: self._settled(life))
            return
        self._settling = False
        paths, self._touched = tuple(sorted(self._touched)), set()
        self.post(lambda: self.store.scan(paths), None)
