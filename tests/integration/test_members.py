"""Who is a member, on a running cluster: the key replaced without a moment's loss, a node put out and let in again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from l2sync.cli.main import run

from .cluster import Agent, Cluster, wait

pytestmark = [pytest.mark.root, pytest.mark.slow]
Make = Callable[[int], Cluster]


def with_own_keys(made: Cluster) -> list[Path]:
    """Every agent gets a key file of its own, as on hosts of their own."""
    files = []
    for agent in made.agents:
        files.append(agent.place / "key")
        shutil.copy(made.key, files[-1])
        agent.config.write_text(agent.config.read_text().replace(str(made.key), str(files[-1])))
    return files


def spread(made: Cluster, files: list[Path], *step: str) -> None:
    """A step of the key's replacement: on the first host's file, copied to all, taken up by each; work goes on."""
    assert run(["keygen", *step, str(files[0])]) == 0
    for agent, file in zip(made.agents, files, strict=True):
        if file != files[0]:
            shutil.copy(files[0], file)
        # A peer's ping tells of its keys: until then a reload that relies on them is refused.
        assert wait(lambda agent=agent: agent.ask("reload").returncode == 0, 60), agent.ask("reload").stderr  # type: ignore[misc]
        (agent.tree / f"{step[0]}-{agent.number}").write_text("written during the step")


def sessions(made: Cluster) -> list[list[tuple[str, str]]]:
    """Each agent's own session, and whom it has online."""
    told = [agent.status() for agent in made.agents]
    return [[("self", t["node"]["session"]), *sorted((p["name"], p["state"]) for p in t["peers"])] for t in told if t]


def test_the_key_is_replaced_in_three_steps_and_nobody_is_lost_for_a_moment(cluster: Make) -> None:
    made = cluster(3)
    files = with_own_keys(made)
    made.start()
    made.settle()
    before = sessions(made)
    for step in (("--add",), ("--use", "2"), ("--drop", "1")):
        spread(made, files, *step)
        made.flush()
    made.judge()
    assert sorted(p.name for p in made.agents[2].tree.iterdir() if p.name != ".l2sync") == sorted(
        f"{step}-{number}" for step in ("--add", "--use", "--drop") for number in range(3)
    )
    assert sessions(made) == before, "no agent began anew"
    for agent in made.agents:
        told = agent.status()
        assert told is not None and [key["id"] for key in told["node"]["keys"]] == [2]
        # Not "nobody was offline for a while": a loaded machine can do that, too.
        assert not [name for name in told["counters"] if name.startswith("bad_")], "every frame could be opened"
    shutil.copy(made.key, files[0])
    made.agents[0].end()
    made.agents[0].start()
    assert wait(lambda: alone(made.agents[0]), 30), "the old key opens nothing any more"


def alone(agent: Agent) -> bool:
    """Whether the agent is a member of nothing but itself, though others were heard."""
    told = agent.status()
    return told is not None and not told["peers"] and any(name.startswith("bad_") for name in told["counters"])


def test_a_step_taken_too_early_is_refused_and_harms_nobody(cluster: Make) -> None:
    made = cluster(2)
    files = with_own_keys(made)
    made.start()
    made.settle()
    assert run(["keygen", "--add", str(files[0])]) == run(["keygen", "--use", "2", str(files[0])]) == 0
    assert wait(lambda: "web1 knows no key 2" in made.agents[0].ask("reload").stderr, 30)
    made.flush()


def test_a_banned_node_is_out_also_after_a_restart_and_back_when_it_is_let_in(cluster: Make) -> None:
    made = cluster(3)
    made.start()
    made.settle()
    first, second, bad = made.agents
    done = first.ask("ban", "web2")
    assert done.returncode == 0, done.stderr
    for agent in (first, second):
        assert wait(lambda agent=agent: banned(agent) == ["web2"], 30)  # type: ignore[misc]
    (bad.tree / "evil").write_text("x")
    for agent in (first, bad):
        agent.end()
        agent.start()
    assert wait(lambda: "banned" in " ".join((bad.status() or {}).get("reasons", [])), 60)
    (first.tree / "good").write_text("x")
    assert wait((second.tree / "good").exists, 60)
    assert not (first.tree / "evil").exists() and not (bad.tree / "good").exists()
    assert second.ask("unban", "web2").returncode == 0
    made.settle(90)
    made.judge()
    assert (first.tree / "evil").exists()


def banned(agent: Agent) -> list[str]:
    """Whom the agent has out."""
    told = agent.status()
    return [ban["name"] for ban in told["bans"]] if told else []
