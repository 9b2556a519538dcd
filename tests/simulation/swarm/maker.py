"""From a seed to a scenario."""

from __future__ import annotations

from random import Random

from .plan import Operation, Scenario

_DIRECTORIES = ("", "", "a", "a", "b", "a/x", "b/y", "a/x/deep")
_NAMES = ("one", "two", "three.txt", "four.c", "five", ".six")
_FILE_WORK = (
    ("save", 24), ("write", 12), ("append", 8), ("truncate", 4), ("touch", 3), ("chmod", 6), ("delete", 12),
    ("rename", 10), ("link", 4), ("mkdir", 4), ("turn", 5), ("ambush", 10), ("lock", 4), ("unlock", 3), ("sync", 3),
)  # fmt: skip
_SIZES = (0, 1, 40, 40, 300, 300, 300, 2000, 2000, 20_000, 60_000)


class Maker:
    """Chooses a run; ``nodes``: exactly so many hosts."""

    def __init__(self, seed: int, nodes: int | None = None) -> None:
        self.rng = Random(seed)
        self.seed = seed
        self.hosts = nodes or self.rng.choice((3,) * 8 + (4,) * 5 + (5, 5, 6, 8))
        if nodes is None and seed % 50 == 49:
            self.hosts = self.rng.randrange(9, 31)
        self.length = self.rng.choice((4_000, 8_000, 15_000, 25_000))
        self.operations: list[Operation] = []
        self._number = seed * 100_000

    def make(self) -> Scenario:
        """The scenario."""
        rng = self.rng
        for host in range(self.hosts):
            if rng.random() < 0.7:
                for _ in range(rng.randrange(6)):
                    self._add(0, "save", host)
            self._add(rng.choice((1, 1, 1, rng.randrange(3000))), "start", host)
        count = rng.choice((20, 60, 120, 240)) if self.hosts < 9 else 60
        quiet = rng.choice((0, 1500, 3000))
        for _ in range(count):
            self._work(quiet + rng.randrange(self.length))
        for trouble in (self._crashes, self._network, self._clocks, self._refusals, self._state):
            if rng.random() < 0.6:
                trouble()
        self.operations.sort(key=lambda op: op.at)
        return Scenario(
            seed=self.seed,
            hosts=self.hosts,
            operations=tuple(self.operations),
            loss=rng.choice((0.0, 0.0, 0.01, 0.1, 0.25)),
            duplication=rng.choice((0.0, 0.0, 0.05, 0.3)),
            jitter=rng.choice((0, 20, 500, 5_000, 40_000)),
            delay=rng.choice((20, 50, 200, 2_000)),
            rate=rng.choice((0, 0, 0, 100_000_000)),
            disk=rng.choice((20, 100, 500, 3_000)),
            brake=rng.choice((100, 100, 100, 30)),
        )

    def _add(
        self, at: int, do: str, host: int, path: str = "", to: str = "", size: int = 0, hosts: tuple[int, ...] = ()
    ) -> None:
        self._number += 1
        if do in ("save", "write", "append", "turn", "ambush"):
            path, size = path or self._path(), self.rng.choice(_SIZES)
        self.operations.append(Operation(max(0, at), do, host, path, to, size, self._number, hosts))

    def _path(self) -> str:
        directory, leaf = self.rng.choice(_DIRECTORIES), self.rng.choice(_NAMES)
        return f"{directory}/{leaf}" if directory else leaf

    def _place(self) -> str:
        """A file's path, or a directory's."""
        return self._path() if self.rng.random() < 0.8 else self.rng.choice(("a", "b", "a/x", "b/y"))

    def _some_host(self) -> int:
        return self.rng.randrange(self.hosts)

    def _time(self) -> int:
        return 500 + self.rng.randrange(self.length)

    def _work(self, at: int) -> None:
        rng, host = self.rng, self._some_host()
        what = rng.choices([name for name, _ in _FILE_WORK], [weight for _, weight in _FILE_WORK])[0]
        if what in ("delete", "chmod", "rename", "turn", "lock"):
            to = self._place() if what == "rename" else ""
            self._add(at, what, host, self._place(), to)
        elif what == "mkdir":
            self._add(at, what, host, rng.choice(("a", "b", "a/x", "b/y", "a/one", "five")))
        else:
            self._add(at, what, host, self._path())
        if rng.random() < 0.25:  # somebody else at the same path, at the same time
            last = self.operations[-1]
            self._add(
                at + rng.randrange(200), rng.choice(("save", "delete", "append", "chmod")), self._some_host(), last.path
            )

    def _crashes(self) -> None:
        for _ in range(self.rng.randrange(1, 5)):
            at, host = self._time(), self._some_host()
            self._add(at, self.rng.choice(("kill", "power", "power")), host)
            self._add(at + self.rng.choice((1, 200, 1000, 6000)), "start", host)

    def _network(self) -> None:
        for _ in range(self.rng.randrange(1, 4)):
            at = self._time()
            some = tuple(sorted(self.rng.sample(range(self.hosts), self.rng.randrange(1, self.hosts))))
            self._add(at, self.rng.choice(("split", "split", "deafen")), 0, hosts=some)
            self._add(at + self.rng.choice((100, 1000, 5000, 9000)), "heal", 0)

    def _clocks(self) -> None:
        for _ in range(self.rng.randrange(1, 4)):
            at, host, rng = self._time(), self._some_host(), self.rng
            what = rng.choice(("jump", "date", "date", "freeze"))
            size = {"jump": rng.choice((500, 10_000, 7_200_000)), "date": rng.randrange(40_000), "freeze": 0}[what]
            self._add(at, what, host, size=size)
            if what == "freeze":
                self._add(at + rng.choice((100, 2000, 7000)), "thaw", host)

    def _refusals(self) -> None:
        for _ in range(self.rng.randrange(1, 4)):
            at, host, rng = self._time(), self._some_host(), self.rng
            what = rng.choice(("slow", "full", "refuse", "blind"))
            self._add(
                at, what, host, self._place() if what in ("refuse", "blind") else "", size=rng.choice((10, 100, 1000))
            )
            after = at + rng.choice((300, 2000, 6000))
            self._add(after, {"slow": "slow", "full": "room"}.get(what, "mend"), host)

    def _state(self) -> None:
        host, rng = self._some_host(), self.rng
        at = self._time()
        self._add(at - rng.randrange(at + 1), "backup", host)
        self._add(at, "kill", host)
        self._add(at + 300, rng.choice(("restore", "restore", "wipe")), host)
        self._add(at + 301, "start", host)


def make(seed: int, nodes: int | None = None) -> Scenario:
    """The scenario of a seed."""
    return Maker(seed, nodes).make()
