"""What a node is told and what it asks for: requests, disk events and effects.

The driver (the agent, or a simulation) hands events to :class:`l2sync.node.Node` and carries out
what ``take_effects()`` returns, in order: persist, send, disk work, notify. Disk work of one tree is
done in the order asked for; its results come back through ``disk_reported``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from l2sync.cluster import BanRecord
from l2sync.frames import Verdict
from l2sync.modtree import Chunk, Entry, Kind, ModTree, Observation, Target, TreePath

BatchKey: TypeAlias = tuple[int, int]
"""A batch's name in the whole cluster: the origin's session and the batch's number there."""

MS = 1_000_000
SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class TreeSetup:
    """A tree as the index holds it at the start: who writes in it, and every entry known."""

    name: str
    path: str
    replica: int
    counter: int
    known: ModTree = field(default_factory=ModTree)
    max_delete_percent: int = 50
    """More of the entries than this, vanishing at once, are held back; 100: never."""
    tombstone_days: int = 90
    """How long deletions are remembered."""
    together: int | None = None
    """When this tree was last the same as on the other nodes, in seconds since 1970."""
    lost: bool = False
    """Whether the tree was kept in sync before, and what was known of it is lost."""


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """Bounds and waiting times of one node; times in ns, sizes in bytes."""

    batch_entries: int = 1000
    batch_bytes: int = 64 << 20
    batches_in_flight: int = 2
    push_bytes: int = 64 << 10
    """A fresh change up to this size is sent with its announcement, before anyone asks for it."""
    read_ahead: int = 8 << 20
    reconcile_settle: int = 300 * MS
    """A root digest must differ for this long, with nothing under way, before trees are compared."""
    reconcile_every: int = SECOND
    gather: int = 20 * MS
    """How long offers found by a comparison are collected before they become a batch."""
    stage_timeout: int = 5 * SECOND
    """A receiver that makes no progress for this long no longer holds up a batch."""
    late_timeout: int = 30 * SECOND
    """How long a batch stays open for receivers that were left behind."""
    store_backlog: int = 32 << 20
    """Received bytes not yet on disk, above which a receiver stops reporting progress."""
    most_told: int = 64 << 20
    """Bytes of entries in all batches that one node has open with us."""
    most_held: int = 128 << 20
    """Bytes of incomplete data in all batches of one node, two of its largest chunks apart."""
    most_rate: int | None = None
    """Bytes per second of frames with data; None: as fast as they get through."""
    retry_first: int = 5 * SECOND
    retry_most: int = 300 * SECOND


# --- effects ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Persist:
    """Write these entries and the replica's counter to the index, durably, before anything after."""

    tree: str
    entries: tuple[Entry, ...]
    counter: int


@dataclass(frozen=True, slots=True)
class Send:
    """Put a sealed frame on the segment; ``address`` is a MAC address, or None for broadcast."""

    frame: bytes
    address: bytes | None


@dataclass(frozen=True, slots=True)
class SendRun:
    """Put sealed frames of one kind on the segment, one after the other, each as with `Send`."""

    frames: Sequence[bytes]
    address: bytes | None

    def singly(self) -> Iterator[Send]:
        """The same, frame by frame."""
        return (Send(frame, self.address) for frame in self.frames)


@dataclass(frozen=True, slots=True)
class Prepare:
    """Stage what is at hand of these entries and say which chunks are missing: answered by Prepared."""

    tree: str
    key: BatchKey
    entries: tuple[Entry, ...]
    chunks: tuple[Chunk, ...]
    waited_for: bool = True
    """Else a Commit follows at once, and the answer may come with that one's."""


@dataclass(frozen=True, slots=True)
class Store:
    """Write received chunks (index in the batch's table, bytes) to the staging area: answered by Stored."""

    tree: str
    key: BatchKey
    chunks: tuple[tuple[int, bytes], ...]
    waited_for: bool = True
    """As for Prepare."""


@dataclass(frozen=True, slots=True)
class Commit:
    """Make each target true on disk and in the index: answered by Committed.

    What was staged for the batch is kept until the ``last`` commit of it.
    """

    tree: str
    key: BatchKey
    targets: tuple[Target, ...]
    last: bool = True
    waited_for: bool = True
    """Else the answer may come some time later, along with others."""


@dataclass(frozen=True, slots=True)
class Discard:
    """Forget what was staged for this batch."""

    tree: str
    key: BatchKey


@dataclass(frozen=True, slots=True)
class ChunkRead:
    """One chunk to read: its index in the batch's table, and where a file has it."""

    index: int
    path: TreePath
    offset: int
    length: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class ReadChunks:
    """Read these chunks of our own files: answered by ChunksRead."""

    tree: str
    key: BatchKey
    reads: tuple[ChunkRead, ...]


@dataclass(frozen=True, slots=True)
class LookOn:
    """Tell of the next portion of the tree's first look: answered by Observed. What was told before is persisted."""

    tree: str


@dataclass(frozen=True, slots=True)
class Rescan:
    """Look at these paths again (None: the whole tree): answered by Observed."""

    tree: str
    paths: tuple[TreePath, ...] | None


@dataclass(frozen=True, slots=True)
class Explain:
    """Say what stands at a path at this moment, and whether it is ignored: answered by Explained, with the token."""

    tree: str
    token: int
    path: TreePath


@dataclass(frozen=True, slots=True)
class RenewReplica:
    """The index fell back (others know writes of ours that it does not): write under this replica from now on."""

    tree: str
    replica: int
    counter: int


@dataclass(frozen=True, slots=True)
class RememberIds:
    """Keep this registry (node name to id) for the next start."""

    registry: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Notify:
    """Something worth telling: ``event`` is a stable snake_case name; level is info, warning or error."""

    event: str
    level: str = "info"
    fields: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of a request that was submitted: ``ok``, or why not; ``data`` where the request says so."""

    request: int
    ok: bool
    detail: str = ""
    data: object = None


@dataclass(frozen=True, slots=True)
class RememberBans:
    """Keep this list of bans: it is handed in at the next start."""

    records: tuple[BanRecord, ...]


@dataclass(frozen=True, slots=True)
class Accept:
    """A user says that what stands at the root now is the tree, whatever the mark says: mark it as ours."""

    tree: str


@dataclass(frozen=True, slots=True)
class Forget:
    """Have nothing in the index of these paths any more."""

    tree: str
    paths: tuple[TreePath, ...]


@dataclass(frozen=True, slots=True)
class SetAside:
    """Move what stands at these paths out of the tree, where people find it, and forget the paths."""

    tree: str
    paths: tuple[TreePath, ...]


@dataclass(frozen=True, slots=True)
class Together:
    """Remember when the tree was last the same as the others', in seconds since 1970; its state is no longer lost."""

    tree: str
    wall: int | None


Effect: TypeAlias = (
    Persist
    | Forget
    | SetAside
    | Together
    | Accept
    | Send
    | SendRun
    | Prepare
    | Store
    | Commit
    | Discard
    | ReadChunks
    | Rescan
    | LookOn
    | Explain
    | RenewReplica
    | RememberIds
    | RememberBans
    | Notify
    | Answer
)


# --- disk events -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Observed:
    """What a scan found different from the index; ``whole`` when all of the tree was looked at.

    ``more``: the rest of a first look is told when LookOn asks for it.
    ``unreadable``: all that cannot be looked at now, whichever scan met it, and why.
    """

    tree: str
    observations: tuple[Observation, ...]
    whole: bool = False
    unreadable: Mapping[TreePath, str] = field(default_factory=dict)
    more: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """Answer to Prepare: chunk indexes still missing, and paths that cannot be staged, with the reason."""

    tree: str
    key: BatchKey
    missing: tuple[int, ...]
    failed: Mapping[TreePath, str]


@dataclass(frozen=True, slots=True)
class Stored:
    """Answer to Store: so many bytes are off our hands."""

    tree: str
    key: BatchKey
    size: int


@dataclass(frozen=True, slots=True)
class Committed:
    """Answer to Commit: what is now on disk, what had changed under our feet, what failed and why."""

    tree: str
    key: BatchKey
    applied: tuple[Entry, ...]
    changed: tuple[TreePath, ...]
    failed: Mapping[TreePath, str]


@dataclass(frozen=True, slots=True)
class ChunksRead:
    """Answer to ReadChunks: the bytes of each chunk, or None where the file no longer has them."""

    tree: str
    key: BatchKey
    chunks: tuple[tuple[int, bytes | None], ...]


@dataclass(frozen=True, slots=True)
class DiskLook:
    """What stat shows at a path; ``kind`` is None for what is not kept in sync, and ``what`` says what that is."""

    kind: Kind | None
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    what: str = ""


@dataclass(frozen=True, slots=True)
class Explained:
    """Answer to Explain: the pattern that ignores the path (or one above), what stands there, or why nobody knows."""

    tree: str
    token: int
    ignored: str | None = None
    look: DiskLook | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class TreePaused:
    """The tree cannot be trusted now (root gone, disk full, read-only): nothing is taken from it or put in it."""

    tree: str
    reason: str
    held: bool = False
    """Whether a user's decision ends it: everything is gone, or the tree is not the one that the index knows."""


@dataclass(frozen=True, slots=True)
class TreeResumed:
    """The cause of the pause is gone. ``lost``: only now could be seen that what was known of the tree is lost."""

    tree: str
    lost: bool = False


DiskEvent: TypeAlias = Observed | Prepared | Stored | Committed | ChunksRead | Explained | TreePaused | TreeResumed


# --- requests --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FlushRequest:
    """Answer when every online node holds what this node's trees (or the one named) hold now."""

    request: int
    tree: str | None = None


@dataclass(frozen=True, slots=True)
class LockRequest:
    """Answer when the whole cluster is locked out of these paths of one tree."""

    request: int
    tree: str
    paths: tuple[TreePath, ...]


@dataclass(frozen=True, slots=True)
class UnlockRequest:
    """Give up the lock asked for by LockRequest ``lock``, granted or not."""

    request: int
    lock: int


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """Forget a request that nobody waits for any more (a lock asked for is released)."""

    request: int


@dataclass(frozen=True, slots=True)
class WhyRequest:
    """Answer, with an `Explanation` as data, what each node has at a path; who has not said it in time is silent."""

    request: int
    tree: str
    path: TreePath
    patience: int


@dataclass(frozen=True, slots=True)
class DecideRequest:
    """Decide on what is held back of a tree, on whichever nodes; answered at once."""

    request: int
    tree: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class BanRequest:
    """Ban a node from the cluster by its name, or lift its ban; answered at once."""

    request: int
    name: str
    banned: bool


Request: TypeAlias = (
    FlushRequest | LockRequest | UnlockRequest | CancelRequest | WhyRequest | BanRequest | DecideRequest
)
