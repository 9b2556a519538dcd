"""One minute of a soak: everything at once, then quiet, then the judges."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.cluster import JUDGE, Agent, Cluster, times, wait
from tests.integration.mounts import MB, fill

_STRESSORS = [
    "dir --dir-dirs 48", "dirdeep --dirdeep-dirs 1 --dirdeep-inodes 40", "rename", "link", "symlink", "utime", "chmod",
    "chown", "hdd --hdd-bytes 2m", "fallocate --fallocate-bytes 2m", "dentry --dentries 60", "xattr", "filename",
    "copy-file --copy-file-bytes 2m", "iomix --iomix-bytes 2m", "fpunch --fpunch-bytes 2m", "fstat", "mknod",
    "inode-flags", "getdent", "seek --seek-size 2m", "sync-file --sync-file-bytes 2m", "touch",
    "dirmany --dirmany-filsize 1k",
]  # fmt: skip
_BAD = ("Traceback", '"level": "error"', '"level":"error"')
"""No agent may log such a line, ..."""
_EXPECTED = "no space left on the tree's file system"
"""... but this it must say: disks are filled."""
_FUZZER = Path(__file__).with_name("fuzzer.py")


@dataclass
class Finding:
    """What one round came to."""

    seed: str
    operations: int = 0
    events: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    quiet_s: float = 0.0


class Round:
    """Runs on a cluster that is up; leaves it whole, unless it has found a fault."""

    def __init__(self, cluster: Cluster, seed: str, active_s: float, patience_s: float, pause_s: float) -> None:
        self.cluster = cluster
        self.random = random.Random(seed)
        self.found = Finding(seed)
        self._active_s, self._patience_s, self._pause_s = active_s, patience_s, pause_s
        self._ballast: list[Path] = []
        self._seen = {agent.number: (agent.place / "log").stat().st_size for agent in cluster.agents}

    def run(self) -> Finding:
        """All of it. What goes wrong is in the finding."""
        users = [*self._fuzzers(), *self._stressors()]
        try:
            end = time.monotonic() + self._active_s
            while time.monotonic() < end:
                time.sleep(self.random.uniform(0.2, 2.5))
                self._misfortune()
        finally:
            self._heal()
            for user in users:
                self._wait_for(user)
        before = time.monotonic()
        if self._quiesce():
            self._judge()
            self._check_own()
        self.found.quiet_s = time.monotonic() - before
        self._read_logs()
        return self.found

    # --- the users --------------------------------------------------------------------------------

    def _fuzzers(self) -> list[subprocess.Popen[bytes]]:
        users = []
        for agent in self.cluster.agents:
            seed = f"{self.found.seed}-{agent.number}"
            words = [str(agent.tree), str(agent.number), seed, str(self._active_s), str(self._pause_s)]
            words.append(str(agent.place))
            users.append(self._start([sys.executable, str(_FUZZER), *words], agent))
        return users

    def _stressors(self) -> list[subprocess.Popen[bytes]]:
        users = []
        for agent in self.cluster.agents:
            kind = self.random.choice(_STRESSORS)
            name, *options = kind.split()
            place = agent.tree / f"stress-{agent.number}"
            with contextlib.suppress(OSError):
                place.mkdir(exist_ok=True)
                words = ["stress-ng", f"--{name}", "1", *options, "--temp-path", str(place), "-q"]
                words += ["--timeout", str(int(self.random.uniform(2, self._active_s / 2)))]
                self.found.events.append(f"web{agent.number}: stress-ng {kind}")
                users.append(self._start(words, agent))
        return users

    def _start(self, words: list[str], agent: Agent) -> subprocess.Popen[bytes]:
        with open(agent.place / "users.log", "ab") as log:
            return agent.host.popen(words, stdout=log, stderr=subprocess.STDOUT)

    def _wait_for(self, user: subprocess.Popen[bytes]) -> None:
        try:
            user.wait(self._active_s)
        except subprocess.TimeoutExpired:
            self.found.events.append(f"{user.args!r} had to be killed")
            user.kill()
            user.wait()

    # --- misfortunes ------------------------------------------------------------------------------

    def _misfortune(self) -> None:
        agent = self.random.choice(self.cluster.agents)
        act = self.random.choices(
            [self._kill, self._start_again, self._unplug, self._plug, self._lose, self._fill, self._empty],
            [3, 4, 2, 4, 2, 1, 2],
        )[0]
        done = act(agent)
        if done:
            self.found.events.append(f"{time.time():.3f} web{agent.number}: {done}")

    def _kill(self, agent: Agent) -> str | None:
        if agent.process is None:
            return None
        how = self.random.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM])
        self._note_end(agent)
        agent.end(how)
        return f"ended by {how.name}"

    def _note_end(self, agent: Agent) -> None:
        if agent.process is not None and agent.process.poll() is not None:
            self.found.faults.append(f"web{agent.number} had ended by itself with {agent.process.returncode}")

    def _start_again(self, agent: Agent) -> str | None:
        if agent.process is not None:
            return None
        agent.start()
        return "started"

    def _unplug(self, agent: Agent) -> str:
        agent.host.pull_cable()
        return "cable pulled"

    def _plug(self, agent: Agent) -> None:
        agent.host.plug_cable()

    def _lose(self, agent: Agent) -> str:
        chance = self.random.choice([0, 0.01, 0.05, 0.3])
        self.cluster.lab.lose(chance)
        return f"loss of {chance:.0%} on the segment"

    def _fill(self, agent: Agent) -> str:
        self._ballast.append(fill(agent.tree, self.random.choice([0, 100_000, 3 * MB])))
        return "disk filled"

    def _empty(self, agent: Agent) -> str | None:
        if not self._ballast:
            return None
        path = self._ballast.pop()
        path.unlink(missing_ok=True)
        return f"{path} removed"

    def _heal(self) -> None:
        self.cluster.lab.lose(0)
        for path in self._ballast:
            path.unlink(missing_ok=True)
        for agent in self.cluster.agents:
            agent.host.plug_cable()
            self._note_end(agent)
            if agent.process is None or agent.process.poll() is not None:
                agent.start()

    # --- the judges -------------------------------------------------------------------------------

    def _quiesce(self) -> bool:
        end = time.monotonic() + self._patience_s
        try:
            return self._settle(end)
        except AssertionError as error:
            self.found.faults.append(str(error).split("\n")[0])
        except subprocess.TimeoutExpired as error:
            self.found.faults.append(f"no answer within {error.timeout:.0f} s: {error.cmd}")
        return False

    def _settle(self, end: float) -> bool:
        for agent in self.cluster.agents:
            if not wait(lambda agent=agent: agent.status() is not None, 60):  # type: ignore[misc]
                self.found.faults.append(f"web{agent.number} gives no status")
                return False
        self.cluster.settle(self._patience_s)
        for _ in range(2):
            for agent in self.cluster.agents:
                done = agent.ask("flush", "--timeout", str(max(5, int(end - time.monotonic()))), timeout=600)
                if done.returncode:
                    self.found.faults.append(f"web{agent.number}: flush: {done.stderr.strip()}")
                    return False
        self.cluster.settle(self._patience_s)
        return True

    def _judge(self) -> None:
        first, *rest = [agent.tree for agent in self.cluster.agents]
        for other in rest:
            found = subprocess.run(
                [*JUDGE, f"{first}/", f"{other}/"], capture_output=True, text=True, check=False, errors="replace"
            )
            if found.stdout or found.returncode:
                self.found.faults.append(f"{first} and {other} differ:\n{found.stdout[:4000]}{found.stderr[:1000]}")
            elif (here := times(first)) != (there := times(other)):
                differing = [path for path in here.keys() | there.keys() if here.get(path) != there.get(path)]
                self.found.faults.append(f"times differ between {first} and {other}: {differing[:20]}")

    def _check_own(self) -> None:
        """What each node's user wrote where no other does is there, on each node, and nothing else."""
        from soaking.fuzzer import standing

        for writer in self.cluster.agents:
            try:
                told = json.loads((writer.place / "fuzzed.json").read_text())
            except (OSError, ValueError) as error:
                self.found.faults.append(f"web{writer.number}: its user left no record: {error}")
                continue
            self.found.operations += told["done"]
            self.found.faults += told["violations"]
            for agent in self.cluster.agents:
                there = {path: one for path, one in standing(agent.tree / f"own-{writer.number}").items() if one}
                wrong = sorted({path for path, _ in there.items() ^ told["own"].items()})
                if wrong:
                    told_wrong = f"own-{writer.number} is not what was written, on web{agent.number}: {wrong}"
                    self.found.faults.append(told_wrong)

    def _read_logs(self) -> None:
        for agent in self.cluster.agents:
            with open(agent.place / "log", errors="replace") as log:
                log.seek(self._seen[agent.number])
                lines = log.read().splitlines()
            bad = [line for line in lines if any(sign in line for sign in _BAD) and _EXPECTED not in line]
            self.found.faults += [f"web{agent.number} logged: {line[:600]}" for line in bad[:5]]
