"""One tree as its node knows it: entries, own writes, what waits to be offered, what is held up and why."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec
from blake3 import blake3

from l2sync.frames import Verdict
from l2sync.modtree import Entry, Kind, ModTree, Observation, TreePath, to_entry

from .api import NodeSettings, TreeSetup
from .bases import Bases
from .brake import Brake, Loss
from .probation import Probation
from .sweep import Sweep
from .troubles import Troubles

_RECENT_CHUNKS = 100_000
_MOST_NAMED = 50_000
"""Own changes to be offered that are held by name; a path costs 120 bytes."""
_SWEPT_AT_ONCE = 5000
_MOST_MADE = 10_000
"""Of more paths written since the start it is remembered only that there are many: the tree tells which."""


def tree_tag(name: str) -> int:
    """The number by which frames name a tree: the same name is the same tree on every node."""
    return int.from_bytes(blake3(name.encode()).digest(length=8), "big")


@dataclass(slots=True)
class Hold:
    """Changes of a tree that wait for a decision. ``loss`` is None where the disk alone knows."""

    reason: str
    loss: Loss | None = None
    verdict: Verdict | None = None
    """Decided, and to be done when the whole tree has been looked at."""
    look_at: int | None = None


@dataclass(slots=True)
class SharedTree:
    """State of one tree. ``dirty``: paths to be offered to the others, True where the change is our own and new.

    Of more own changes than it takes, the ``sweep`` finds the others again.
    """

    setup: TreeSetup
    settings: NodeSettings
    dirty: dict[TreePath, bool] = field(default_factory=dict)
    sweep: Sweep = field(init=False)
    troubles: Troubles = field(init=False)
    disk_pause: str | None = None
    """Why the disk cannot be trusted."""
    brake: Brake = field(init=False)
    hold: Hold | None = None
    """What is held back here until a user decides."""
    twin: tuple[int, str] | None = None
    """The session that writes under our number, and what to do about it."""
    probation: Probation | None = None
    """It may hold what others have deleted."""
    together: int | None = None
    forget_at: int = 0
    doubt: int | None = None
    """Until when (ns) what scans find waits for a second look: a deletion may be under way."""
    elsewhere: dict[int, str] = field(default_factory=dict)
    """Who else holds back what: a session, and what it said of it."""
    scanned: bool = False
    found: deque[Observation] = field(default_factory=deque)
    """What scans found and no version was made of yet: a million findings at once would keep the node from all else."""
    more: bool = False
    """A first look waits to be asked for what it finds next."""
    coming: bool = False
    """A look has found a part only, as far as it has told: more of it comes."""
    looked: bool = False
    """A scan of the whole tree has ended."""
    changed_at: int = 0
    offer_at: int = 0
    replaced: set[bytes] = field(default_factory=set)
    """Chunks that recent changes of our own took away from a path: receivers still have them."""
    bases: Bases = field(default_factory=Bases)
    trusted: int = 0
    """Our writes up to this one were known to the index at the start."""
    made: set[TreePath] | None = field(default_factory=set)
    """Paths written since, until the node first agrees with another; None: too many to name."""
    agreed: bool = False
    tree: ModTree = field(init=False)
    tag: int = 0
    replica: int = 0
    counter: int = 0

    def __post_init__(self) -> None:
        self.together = self.setup.together
        self.brake = Brake(self.setup.max_delete_percent)
        self.troubles = Troubles(self.settings)
        self.tag = tree_tag(self.setup.name)
        self.replica, self.counter = self.setup.replica, self.setup.counter
        self.trusted = self.counter
        self.sweep = Sweep(self.counter)
        self.tree = self.setup.known

    @property
    def name(self) -> str:
        return self.setup.name

    @property
    def paused(self) -> str | None:
        """Why nothing is taken from the tree or put in it."""
        if self.twin is not None:
            return self.twin[1]
        if self.hold is not None:
            return f"held: {self.hold.reason}; {self._choice}"
        if self.disk_pause is not None:
            return self.disk_pause
        for told in self.elsewhere.values():
            return f"held by {told}; {self._choice}"
        return None

    @property
    def question(self) -> str | None:
        """What a user is asked, though the tree is not paused."""
        reason = self.probation.reason if self.probation is not None else None
        if reason is None:
            return None
        return f"{reason}; `l2sync approve {self.name}` keeps them, `l2sync restore {self.name}` sets them aside"

    @property
    def _choice(self) -> str:
        return f"`l2sync approve {self.name}` lets it be so everywhere, `l2sync restore {self.name}` undoes it"

    @property
    def digest(self) -> bytes:
        """Sixteen bytes of the root digest, as pings carry it."""
        return self.tree.root_digest[:16]

    def next_dot(self) -> int:
        self.counter += 1
        return self.counter

    def observe(
        self, observations: Iterable[Observation], author: str, now: int, wall: int | None = None
    ) -> list[Entry]:
        """Make new versions of what the disk shows different; returns the entries made. ``wall``: the time of day."""
        made = list[Entry]()
        born = list[TreePath]()
        for seen in observations:
            old = self.tree.get(seen.path)
            if _says_nothing_new(seen, old):
                continue
            if seen.deleted and wall is not None:
                seen = msgspec.structs.replace(seen, size=wall)
            entry = to_entry(seen, old, self.replica, self.next_dot(), author)
            if old is not None and old.kind is Kind.FILE and len(self.replaced) < _RECENT_CHUNKS:
                self.replaced.update(chunk.hash for chunk in old.chunk_list())
            self.bases.note(old)
            self._note_made(entry.path)
            self.tree.put(entry)
            if self.probation is None:  # else a comparison finds out what may be told
                self._note_own(entry.path)
            made.append(entry)
            if not entry.deleted and (old is None or old.deleted):
                born.append(entry.path)
        if made:
            self.changed_at = now
        self.brake.born(born, now)
        return made

    def renew_replica(self, replica: int, author: str, now: int) -> list[Entry]:
        """Write as a new replica, and version anew what was written since the start under the old one.

        The old one's counter had fallen back, so that its dots since then may name other contents elsewhere.
        """
        former, trusted = self.replica, self.trusted
        self.replica, self.counter = replica, 0
        self.sweep.since = 0
        remade = []
        for path in () if self.agreed else self.tree.paths() if self.made is None else sorted(self.made):
            entry = self.tree.get(path)
            if entry is None or entry.version.counter(former) <= trusted:
                continue
            dot = (replica, self.next_dot())
            version = entry.version.cut(former, trusted).advance(*dot)
            entry = msgspec.structs.replace(entry, version=version, dot=dot, author=author)
            self.tree.put(entry)
            self._note_own(path)
            remade.append(entry)
        self.made, self.trusted = set(), self.counter
        self.changed_at = now
        return remade

    @property
    def untold(self) -> bool:
        """Whether something waits to be offered."""
        return bool(self.dirty or self.sweep)

    def _note_own(self, path: TreePath) -> None:
        if path in self.dirty or (len(self.dirty) < _MOST_NAMED and not self.sweep):
            self.dirty[path] = True
        else:
            self.sweep.miss(path)

    def sweep_on(self) -> None:
        """Name some more of what waits to be offered."""
        for path in self.sweep.more(self.tree, self.replica, _SWEPT_AT_ONCE):
            self.dirty[path] = True

    def all_told(self) -> None:
        """Nothing waits to be offered any more, or nobody is there who could be told: comparing finds it later."""
        self.dirty.clear()
        self.sweep.end(self.counter)

    def _note_made(self, path: TreePath) -> None:
        if self.agreed or self.made is None:
            return
        self.made.add(path)
        if len(self.made) > _MOST_MADE:
            self.made = None

    def trust_counter(self) -> None:
        """This node once agreed with another: its counter has not fallen back."""
        self.agreed = True
        self.made = set()

    def offer(self, paths: Iterable[TreePath], now: int) -> None:
        """Have these paths' entries told to the others; gathered for a moment."""
        for path in paths:
            if path not in self.dirty:
                self.dirty[path] = False
                self.offer_at = now + self.settings.gather

    def adopt(self, entries: Iterable[tuple[Entry, Entry | None]], now: int) -> None:
        """Take over what the disk has made true; each with what was known of its path until now."""
        born = list[TreePath]()
        for entry, old in entries:
            if not entry.deleted and (old is None or old.deleted):
                born.append(entry.path)
            self.tree.put(entry)
            self.troubles.applied(entry.path)
            self.changed_at = now
        self.brake.born(born, now)

    def conflicts(self) -> list[TreePath]:
        """The conflict copies that stand in the tree."""
        return sorted(self.tree.conflicts)


def _says_nothing_new(seen: Observation, old: Entry | None) -> bool:
    if old is None or old.deleted:
        return seen.deleted
    return not seen.deleted and old.same_state(seen)


def text(path: bytes) -> str:
    """A path for people."""
    return path.decode("utf-8", "backslashreplace")
