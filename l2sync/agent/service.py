"""The agent: builds a node, its trees and its link from the configuration, and runs them until told to end."""

from __future__ import annotations

import grp
import random
import secrets
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from enum import Enum, auto
from pathlib import Path

import structlog
import trio
from msgspec.structs import replace

from l2sync.frames import UNHURRIED, Keyring, group_address
from l2sync.link import LinkDown, PacketLink

from .chores import Chores
from .config import Config, load_config
from .control import ControlServer
from .faults import ConfigError, Fault
from .instance import only_agent
from .keyfile import read_keys
from .logs import set_up_logs
from .machine import claim_state
from .memory import give_back, tame_allocator, tame_collector
from .running import Running, build
from .systemd import Notifier

LEAVE_S = 3.0
"""How long an orderly end may take before it is an end like any other."""
LINK_S = 1.0
REFUSED_S = 15.0
"""How long after the cluster's refusal the agent tries to join again."""


class Next(Enum):
    """What follows when a node has ended."""

    END = auto()
    AGAIN = auto()


def run_agent(file: Path) -> None:
    """Run the agent in the foreground until SIGTERM or SIGINT.

    Raises ConfigError where it cannot run like this; a fault of its own is logged, and ends in SystemExit(1).
    """
    config = load_config(file)
    keys = read_keys(Path(config.cluster.key_file))
    set_up_logs(config.log.format, config.log.level)
    tame_allocator()
    agent = Agent(file, config, keys)
    tame_collector()
    state_dir = Path(config.node.state_dir)
    with only_agent(state_dir, str(file)), _one_error():
        claim_state(state_dir, config.node.name, str(file))
        trio.run(agent.run, restrict_keyboard_interrupt_to_checkpoints=True)


class Agent:
    """Runs one node after the other: a reload, another MTU or a refusal begin a new one."""

    def __init__(self, file: Path, config: Config, keys: dict[int, bytes]) -> None:
        self.file = file
        self.config = config
        self.keys = keys
        self.notifier = Notifier()
        self.chores = Chores()
        self._log = structlog.get_logger()
        self._running: Running | None = None
        self._waits_for = "starting"
        self._next = Next.AGAIN
        self._scope = trio.CancelScope()

    async def run(self) -> None:
        """Until a signal ends it."""
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._obey, signals)
                nursery.start_soon(self.notifier.keep_alive, self.describe, self.chores)
                nursery.start_soon(give_back, self.chores)
                control = ControlServer(Path(self.config.node.control_socket), _group(self.config))
                control.reload = self._reload
                await nursery.start(control.serve)
                self.notifier.ready()
                while True:
                    self._next = Next.AGAIN
                    with trio.CancelScope() as self._scope:
                        await self._serve(control)
                    if self._next is Next.END:
                        break
                nursery.cancel_scope.cancel()

    def describe(self) -> str:
        """How things stand, in one line."""
        return self._waits_for if self._running is None else self._running.describe()

    async def _serve(self, control: ControlServer) -> None:
        """One node, from its start to its end."""
        config, keys = self.config, self.keys
        self._wait_for(control, "starting")
        link = await self._open_link(control)
        try:
            ring = Keyring(config.cluster.name, keys, next(iter(keys)))
            self._wait_for(control, "reading the indexes")
            session, nonce = secrets.randbits(64), secrets.token_bytes(8)
            running = await build(config, ring, link, session, nonce, random.Random(secrets.randbits(128)), self.chores)
            try:
                self._running, control.office = running, running.office
                if keys is not self.keys:
                    # A reload came while the indexes were read.
                    running.renew_keys(self.keys)
                self._log.info("started", node=config.node.name, session=f"{session:016x}", interface=link.interface)
                await self._hold(running, link)
            finally:
                self._running = control.office = None
                await running.close()
        finally:
            link.close()

    async def _hold(self, running: Running, link: PacketLink) -> None:
        async with trio.open_nursery() as nursery:
            # Leaving still needs the driver: it is cancelled from here, after the goodbye.
            stopping = trio.Event()
            with trio.CancelScope(shield=True) as shield:
                async with trio.open_nursery() as inner:
                    inner.start_soon(running.run)
                    nursery.start_soon(self._look_after, running, link)
                    nursery.start_soon(_until_cancelled, stopping)
                    await stopping.wait()
                    with trio.move_on_after(LEAVE_S):
                        await running.driver.leave()
                    shield.cancel()

    async def _look_after(self, running: Running, link: PacketLink) -> None:
        """Begin anew where the node cannot go on as it is."""
        while True:
            await self.chores.sleep(LINK_S)
            if running.node.refused is not None:
                await trio.sleep(REFUSED_S)
                self._log.info("joining_again", reason=running.node.refused)
                return self._scope.cancel()
            try:
                mtu = link.mtu
                if link.refresh() and link.mtu != mtu:
                    self._log.info("mtu_changed", before=mtu, now=link.mtu)
                    return self._scope.cancel()
            except LinkDown:
                continue

    async def _open_link(self, control: ControlServer) -> PacketLink:
        cluster = self.config.cluster
        tag = Keyring(cluster.name, self.keys, next(iter(self.keys))).tag
        told = ""
        while True:
            try:
                return PacketLink(cluster.interface, cluster.ethertype, tag, group_address(tag), UNHURRIED)
            except LinkDown as down:
                if told != str(down):
                    told = str(down)
                    self._log.warning("waiting_for_link", reason=told)
                    self._wait_for(control, f"waiting for the interface: {told}")
            except PermissionError:
                reason = "raw Ethernet sockets are not permitted"
                raise ConfigError(
                    [Fault(str(self.file), "cluster.interface", reason, "run as root, or with CAP_NET_RAW")]
                ) from None
            await trio.sleep(LINK_S)

    def _wait_for(self, control: ControlServer, what: str) -> None:
        self._waits_for = control.why = what
        self.notifier.status(what)

    async def _obey(self, signals: AsyncIterator[int]) -> None:
        async for number in signals:
            if number == signal.SIGHUP:
                self._reload()
                continue
            self._log.info("stopping", signal=signal.Signals(number).name)
            self.notifier.stopping()
            self._next = Next.END
            self._scope.cancel()

    def _reload(self) -> list[str]:
        """Take up what has changed in the files; what is wrong in them changes nothing, and is told."""
        faults: list[str] = []
        self.notifier.reloading()
        try:
            config = load_config(self.file)
            keys = read_keys(Path(config.cluster.key_file))
        except ConfigError as error:
            faults = [str(fault) for fault in error.faults]
        else:
            faults = [f"{config.cluster.key_file}: {why}" for why in self._objections(keys)]
            if not faults:
                self._take_up(config, keys)
        for fault in faults:
            self._log.error("not_reloaded", fault=fault)
        self.notifier.ready()
        return faults

    def _objections(self, keys: dict[int, bytes]) -> list[str]:
        """Keys that would cut off a node that is online are taken up by a restart only."""
        if self._running is None or list(keys.items()) == list(self.keys.items()):
            return []
        return self._running.objections(keys)

    def _take_up(self, config: Config, keys: dict[int, bytes]) -> None:
        old = self.config
        for key in ("state_dir", "control_socket", "control_group"):
            if getattr(config.node, key) != getattr(old.node, key):
                self._log.warning("not_reloaded", fault=f"node.{key} changes with a restart only")
        set_up_logs(config.log.format, config.log.level)
        same = (config.cluster, config.node, config.trees) == (old.cluster, old.node, old.trees)
        renewed = list(keys.items()) != list(self.keys.items())
        fixed = {key: getattr(old.node, key) for key in ("state_dir", "control_socket", "control_group")}
        self.config, self.keys = replace(config, node=replace(config.node, **fixed)), keys
        self._log.info("reloaded", begins_anew=not same, keys=list(keys) if renewed else None)
        if not same:
            self._scope.cancel()
        elif renewed and self._running is not None:
            self._running.renew_keys(keys)


async def _until_cancelled(stopping: trio.Event) -> None:
    try:
        await trio.sleep_forever()
    finally:
        stopping.set()


def _group(config: Config) -> int | None:
    if not config.node.control_group:
        return None
    try:
        return grp.getgrnam(config.node.control_group).gr_gid
    except KeyError:
        reason = f'there is no group "{config.node.control_group}"'
        raise ConfigError([Fault(config.file, "node.control_group", reason, "name a group of this host")]) from None


@contextmanager
def _one_error() -> Iterator[None]:
    """Whatever number of nurseries an error has come through, it is told as itself."""
    try:
        yield
    except Exception as error:
        causes = [leaf for leaf in _leaves(error) if isinstance(leaf, ConfigError)]
        if causes:
            raise ConfigError([fault for cause in causes for fault in cause.faults]) from None
        structlog.get_logger().critical("agent_failed", exc_info=error)
        raise SystemExit(1) from None


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _leaves(one)
    else:
        yield error
