"""The control socket: what clients ask, what they get, and what becomes of their locks when they go."""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from l2sync.agent.client import Client, NoAgent, RequestFailed
from l2sync.agent.control import ControlServer
from l2sync.agent.driver import Driver
from l2sync.agent.faults import ConfigError
from l2sync.agent.office import Office
from l2sync.agent.protocol import (
    ConflictCopy,
    ConflictsQuery,
    FlushQuery,
    LockQuery,
    Rescanned,
    RescanQuery,
    StatusQuery,
    UnlockQuery,
    WhyQuery,
)
from l2sync.modtree import TreePath
from l2sync.node import api

from .fakes import FakeLink, FakeNode, until


class Watch:
    """A tree's watch that has seen everything already."""

    caught_up = 0

    async def catch_up(self) -> int:
        self.caught_up += 1
        return 0

    async def scan(self, paths: object) -> int:
        return 2


class Desk:
    def __init__(self, tmp_path: Path) -> None:
        self.node, self.link, self.watch = FakeNode(), FakeLink(), Watch()
        self.root = tmp_path / "root"
        self.root.mkdir()
        self.driver = Driver(self.node, self.link, lambda registry: None)
        watches: dict[str, Any] = {"t": self.watch}
        self.office = Office(self.driver, watches, {"t": self.root})
        self.path = tmp_path / "run" / "control.sock"
        self.server = ControlServer(self.path)
        self.server.office = self.office

    def of(self, kind: type) -> list[Any]:
        return [one for one in self.node.seen if isinstance(one, kind)]

    async def ask(self, query: Any, kind: Any = object) -> Any:
        def work() -> Any:
            with Client(self.path) as client:
                return client.ask(query, kind)

        return await trio.to_thread.run_sync(work)


@asynccontextmanager
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    made = Desk(tmp_path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.driver.run)
        await nursery.start(made.server.serve)
        with trio.fail_after(5):
            yield made
        nursery.cancel_scope.cancel()
    made.link.close()
    assert not made.path.exists()


def grant(request: api.Request) -> list[api.Effect]:
    return [api.Answer(request.request, True)]


async def test_the_socket_is_for_owner_and_group_only(tmp_path: Path):
    async with desk(tmp_path) as d:
        assert stat.S_IMODE(d.path.stat().st_mode) == 0o660


async def test_status_has_what_the_node_and_the_link_know(tmp_path: Path):
    async with desk(tmp_path) as d:
        found = await d.ask(StatusQuery(), dict)
        assert found["in_sync"] and found["counters"]["kernel_drops"] == 3 and found["counters"]["bad_forged"] == 1


async def test_a_link_that_is_down_is_a_reason_not_to_be_in_sync(tmp_path: Path):
    async with desk(tmp_path) as d:
        d.driver.reader.link_down = "fake0: the interface is down"
        found = await d.ask(StatusQuery(), dict)
        assert not found["in_sync"] and found["reasons"] == ["fake0: the interface is down"]


async def test_flush_looks_at_the_disk_first_and_then_asks_the_cluster(tmp_path: Path):
    async with desk(tmp_path) as d:
        d.node.answer = grant  # type: ignore[method-assign]
        await d.ask(FlushQuery("t", 1))
        assert d.watch.caught_up == 1 and len(d.of(api.FlushRequest)) == 1


async def test_a_flush_that_takes_too_long_names_who_lacks_what(tmp_path: Path):
    async with desk(tmp_path) as d:
        with pytest.raises(RequestFailed, match="web2 lacks 3 entries") as caught:
            await d.ask(FlushQuery("t", 0.01))
        assert caught.value.code == "timeout" and len(d.of(api.CancelRequest)) == 1


async def test_an_unknown_tree_is_refused(tmp_path: Path):
    async with desk(tmp_path) as d:
        for query in (FlushQuery("u"), RescanQuery("u"), ConflictsQuery("u")):
            with pytest.raises(RequestFailed, match="'u'") as caught:
                await d.ask(query)
            assert caught.value.code == "unknown_tree"


async def test_a_lock_is_asked_for_by_path_in_the_tree_and_given_back(tmp_path: Path):
    async with desk(tmp_path) as d:
        d.node.answer = grant  # type: ignore[method-assign]

        def work() -> None:
            with Client(d.path) as client:
                client.request(LockQuery((os.fsencode(d.root / "a/b"), os.fsencode(d.root))))
                client.request(UnlockQuery())

        await trio.to_thread.run_sync(work)
        (lock,) = d.of(api.LockRequest)
        (unlock,) = d.of(api.UnlockRequest)
        assert lock.paths == (b"a/b", b"") and unlock.lock == lock.request
        assert d.watch.caught_up == 1 and d.of(api.CancelRequest) == []


async def test_a_path_by_way_of_a_symbolic_link_is_found(tmp_path: Path):
    async with desk(tmp_path) as d:
        d.node.answer = grant  # type: ignore[method-assign]
        (tmp_path / "way").symlink_to(d.root)
        await d.ask(LockQuery((os.fsencode(tmp_path / "way" / "x"),)))
        assert d.of(api.LockRequest)[0].paths == (b"x",)


async def test_a_path_outside_of_all_trees_is_refused(tmp_path: Path):
    async with desk(tmp_path) as d:
        for path in (b"/etc", os.fsencode(d.root) + b"2/x", os.fsencode(d.root) + b"/../x", b"relative"):
            with pytest.raises(RequestFailed) as caught:
                await d.ask(LockQuery((path,)))
            assert caught.value.code == "outside"
        assert d.of(api.LockRequest) == []


@pytest.mark.parametrize("granted", [True, False])
async def test_a_client_that_hangs_up_gives_up_its_lock(tmp_path: Path, granted: bool):
    async with desk(tmp_path) as d:
        if granted:
            d.node.answer = grant  # type: ignore[method-assign]
        stream = await trio.open_unix_socket(d.path)
        await stream.send_all(b'{"request":"lock","paths":["' + _base64(os.fsencode(d.root)) + b'"]}\n')
        await until(lambda: d.of(api.LockRequest))
        if granted:
            assert b'"ok":true' in await stream.receive_some()
        await stream.aclose()
        await until(lambda: d.of(api.CancelRequest))
        assert d.of(api.CancelRequest)[0].request == d.of(api.LockRequest)[0].request


async def test_a_lock_not_had_in_time_is_given_up(tmp_path: Path):
    async with desk(tmp_path) as d:
        with pytest.raises(RequestFailed) as caught:
            await d.ask(LockQuery((os.fsencode(d.root),), 0.01))
        assert caught.value.code == "timeout" and len(d.of(api.CancelRequest)) == 1


async def test_rescan_and_conflicts_tell_what_they_found(tmp_path: Path):
    async with desk(tmp_path) as d:
        assert await d.ask(RescanQuery(), Rescanned) == Rescanned({"t": 2})
        (d.root / "a.conflict-x").write_text("abc")
        d.node.conflicting = [TreePath(b"a.conflict-x"), TreePath(b"gone.conflict-x")]
        (copy,) = await d.ask(ConflictsQuery(), list[ConflictCopy])
        assert (copy.tree, copy.path, copy.size) == ("t", b"a.conflict-x", 3)


@pytest.mark.parametrize(
    "line", [b"", b"{}", b"nonsense", b'{"request":"status"', b'{"request":"x"}', b"\xff\xfe", b"[]"]
)
async def test_nonsense_is_refused_and_the_connection_goes_on(tmp_path: Path, line: bytes):
    async with desk(tmp_path) as d:
        async with await trio.open_unix_socket(d.path) as stream:
            await stream.send_all(line + b'\n{"request":"status"}\n')
            got = b""
            while got.count(b"\n") < 2:
                got += await stream.receive_some()
        first, second = (json.loads(one) for one in got.splitlines())
        assert first["code"] == "bad_request" and second["ok"]


async def test_an_endless_line_ends_the_connection(tmp_path: Path):
    async with desk(tmp_path) as d, await trio.open_unix_socket(d.path) as stream:
        with pytest.raises(trio.BrokenResourceError):
            while True:
                await stream.send_all(b"x" * 65536)


async def test_an_agent_that_is_not_ready_says_what_it_waits_for(tmp_path: Path):
    async with desk(tmp_path) as d:
        d.server.office, d.server.why = None, "waiting for eth0"
        with pytest.raises(RequestFailed, match="waiting for eth0"):
            await d.ask(StatusQuery())


async def test_a_second_agent_does_not_take_the_socket_over(tmp_path: Path):
    async with desk(tmp_path) as d:
        with pytest.RaisesGroup(ConfigError, flatten_subgroups=True, allow_unwrapped=True):
            await ControlServer(d.path).serve()
        assert (await d.ask(StatusQuery(), dict))["in_sync"]


async def test_a_dead_socket_is_replaced_and_another_file_is_not(tmp_path: Path):
    (tmp_path / "run").mkdir()
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(tmp_path / "run" / "control.sock"))
    dead.close()
    async with desk(tmp_path) as d:
        await wait_all_tasks_blocked()
        assert (await d.ask(StatusQuery(), dict))["in_sync"]
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError):
        await ControlServer(tmp_path / "file").serve()
    assert (tmp_path / "file").read_text() == "mine"


def test_without_an_agent_the_client_says_so(tmp_path: Path):
    with pytest.raises(NoAgent, match="no agent answers"):
        Client(tmp_path / "none.sock")


def _base64(data: bytes) -> bytes:
    import base64

    return base64.b64encode(data)


@pytest.mark.parametrize(
    ("path", "word", "meant"),
    [
        ("{root}/a/b", "a/b", b"a/b"),
        ("{root}", ".", b""),
        ("/elsewhere/t:a/b", "t:a/b", b"a/b"),
        ("/elsewhere/t:/a/", "t:/a/", b"a"),
        ("/elsewhere/t", "t", b""),
        ("{root}/u:x", "u:x", b"u:x"),
        ("{root}/t:here", "t:here", b"t:here"),
    ],
)
async def test_why_takes_a_path_or_a_tree_with_a_path_in_it(tmp_path: Path, path: str, word: str, meant: bytes):
    async with desk(tmp_path) as d:
        (d.root / "t:here").touch()
        d.node.answer = lambda request: [api.Answer(request.request, True, data={"of": "it"})]  # type: ignore[method-assign]
        query = WhyQuery(path.format(root=d.root).encode(), word.encode(), 2.5)
        assert await d.ask(query) == {"of": "it"}
        (asked,) = d.of(api.WhyRequest)
        assert (asked.tree, asked.path, asked.patience) == ("t", meant, 2_500_000_000)


@pytest.mark.parametrize(
    ("path", "word"), [("/etc/passwd", "/etc/passwd"), ("{root}/.l2sync/id", "id"), ("/x/t:../y", "t:../y")]
)
async def test_why_of_what_is_in_no_tree_is_refused(tmp_path: Path, path: str, word: str):
    async with desk(tmp_path) as d:
        with pytest.raises(RequestFailed) as caught:
            await d.ask(WhyQuery(path.format(root=d.root).encode(), word.encode()))
        assert caught.value.code == "outside" and not d.of(api.WhyRequest)
