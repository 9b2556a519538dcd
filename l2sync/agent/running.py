"""A node in operation: with its driver, its trees' desks and watches, and the office that answers for it."""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import msgspec
import structlog
import trio

from l2sync.cluster import BanRecord, Way
from l2sync.disk import Settler, TreeOptions, TreeStore, Watcher, open_watcher
from l2sync.frames import Keyring
from l2sync.modtree import ModTree
from l2sync.node.api import NodeSettings, TreeSetup
from l2sync.node.core import Node
from l2sync.node.keys import objections

from .chores import Chores
from .config import Config, TreeSection, parse_rate, parse_size
from .desk import Desk
from .driver import Driver
from .faults import ConfigError, Fault
from .office import Office
from .registry import BANS_NAME, load_bans, load_registry, save_bans, save_registry
from .roles import SocketLink
from .watching import TreeWatch
from .worker import Worker

MS = 1_000_000
WALL_S = 60.0
"""How often the node is told the time of day."""
DAY = 24 * 3600 * 1_000_000_000


class Running:
    """All of one node; made by `build`."""

    def __init__(self, node: Node, driver: Driver, watches: Mapping[str, TreeWatch], office: Office) -> None:
        self.node = node
        self.driver = driver
        self.watches = watches
        self.office = office

    async def run(self) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            self.driver.tell_wall()
            nursery.start_soon(self.driver.run)
            nursery.start_soon(self._tell_wall)
            for watch in self.watches.values():
                nursery.start_soon(watch.run)

    async def _tell_wall(self) -> None:
        while True:
            await self.driver.chores.sleep(WALL_S)
            self.driver.tell_wall()

    def describe(self) -> str:
        """How things stand, in one line."""
        status = self.office.status()
        online = sum(peer.state == "online" for peer in status.peers)
        others = f"{online} other node{'' if online == 1 else 's'} online"
        return f"in sync, {others}" if status.in_sync else f"not in sync ({status.reasons[0]}), {others}"

    def objections(self, keys: Mapping[int, bytes]) -> list[str]:
        """Why going on with these keys, the first of them active, would lose a node that is online."""
        return objections(self.node.ctx.online(), keys, next(iter(keys)))

    def renew_keys(self, keys: Mapping[int, bytes]) -> None:
        """Go on with other keys, the first of them active; nothing under way is lost."""
        self.node.keyring.renew(keys, next(iter(keys)))
        self.node.keys_changed()

    async def close(self) -> None:
        """End the disk work that was begun, and let go of the trees."""
        for desk in self.driver.desks.values():
            desk.end()
        with trio.CancelScope(shield=True):
            for desk in self.driver.desks.values():
                await _close(desk.store, desk.worker)
            for looker in {desk.looker for desk in self.driver.desks.values() if desk.looker is not None}:
                await looker.close()


async def build(
    config: Config,
    ring: Keyring,
    link: SocketLink,
    session: int,
    nonce: bytes,
    rng: random.Random,
    chores: Chores | None = None,
) -> Running:
    """Open every tree's index and make the node. Raises ConfigError for an index that cannot be used."""
    state_dir = Path(config.node.state_dir)
    opened: list[tuple[TreeStore, Worker]] = []
    setups: list[TreeSetup] = []
    try:
        for tree in config.trees:
            worker = Worker(tree.name)
            try:
                store, setup = await worker.run(partial(_open, tree, state_dir, config.node.name))
            except (OSError, sqlite3.Error) as error:
                await worker.close()
                fault = Fault(config.file, "node.state_dir", f"the index of {tree.name}: {error}", _REMEDY)
                raise ConfigError([fault]) from error
            opened.append((store, worker))
            setups.append(setup)
        node = Node(
            name=config.node.name,
            session=session,
            nonce=nonce,
            trees=setups,
            keyring=ring,
            mtu=link.mtu,
            registry=load_registry(state_dir),
            rng=rng,
            bans=_bans(state_dir, config.file),
            destination=Way(config.cluster.destination),
            settings=NodeSettings(most_rate=parse_rate(config.cluster.max_rate)),
        )
    except BaseException:
        with trio.CancelScope(shield=True):
            for store, worker in opened:
                await _close(store, worker)
        raise
    driver = Driver(node, link, partial(save_registry, state_dir), remember_bans=partial(save_bans, state_dir))
    chores = driver.chores = chores or driver.chores
    watches = {}
    looker = Worker("look")
    for tree, (store, worker) in zip(config.trees, opened, strict=True):
        desk = driver.desks[tree.name] = Desk(tree.name, store, worker, driver.report)
        desk.looker = looker
        settler = Settler(store.options.settle_ns, store.options.settle_most_ns)
        watches[tree.name] = TreeWatch(desk, partial(_watch, tree, store), settler, tree.rescan_s, chores=chores)
    return Running(node, driver, watches, Office(driver, watches, {t.name: Path(t.path) for t in config.trees}))


_REMEDY = "mend the state directory, or remove this index: the tree is then looked at anew"


def _bans(state_dir: Path, file: str) -> tuple[BanRecord, ...]:
    try:
        return load_bans(state_dir)
    except (OSError, msgspec.DecodeError) as error:
        remedy = "mend it, or remove it: bans are then learnt from the other nodes"
        raise ConfigError([Fault(file, "node.state_dir", f"{state_dir / BANS_NAME}: {error}", remedy)]) from error


def _open(tree: TreeSection, state_dir: Path, node_name: str) -> tuple[TreeStore, TreeSetup]:
    os.makedirs(state_dir / "trees", mode=0o700, exist_ok=True)
    options = TreeOptions(
        ignore=tuple(tree.ignore),
        devices=tree.devices,
        cross_mounts=tree.cross_mounts,
        settle_ns=tree.settle_ms * MS,
        keep_versions_ns=tree.keep_versions_days * DAY,
        keep_versions_bytes=parse_size(tree.keep_versions_size) or 0,
    )
    store = TreeStore.open(tree.name, Path(tree.path), state_dir, options, node_name)
    if store.outdated:
        reason = "the state is older than the tree: was it restored from a backup?"
        structlog.get_logger().warning("index_rolled_back", tree=tree.name, reason=reason)
    known = ModTree.of_packed(store.packed())
    setup = TreeSetup(
        tree.name,
        tree.path,
        store.replica,
        store.counter,
        known,
        tree.max_delete_percent,
        tree.tombstone_days,
        store.together,
        store.lost,
    )
    return store, setup


def _watch(tree: TreeSection, store: TreeStore) -> Watcher:
    def refused(reason: str) -> None:
        log = structlog.get_logger().bind(tree=tree.name)
        log.warning("no_fanotify", reason=reason, remedy="a watch is kept for each directory (inotify)")

    mounts = (lambda: store.mounts) if tree.cross_mounts else None
    return open_watcher(Path(tree.path), store.ignored, tree.watch, refused, mounts)


async def _close(store: TreeStore, worker: Worker) -> None:
    try:
        await worker.run(store.close)
    except Exception as error:
        structlog.get_logger().warning("index_not_closed", reason=str(error))
    await worker.close()
