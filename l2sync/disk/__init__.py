"""Trees on disk: scanning, watching, the index, and the safe application of changes. Knows the modtree only."""

from .applier import CommitResult
from .explain import Seen
from .guard import Paused
from .mounts import NotCrossed
from .options import TreeOptions
from .preparing import Prepared
from .restoring import CannotRestore
from .settler import Settler
from .store import TreeStore
from .watcher import Touched, Watcher
from .watching import open_watcher

__all__ = [
    "CannotRestore",
    "CommitResult",
    "NotCrossed",
    "Paused",
    "Prepared",
    "Seen",
    "Settler",
    "Touched",
    "TreeOptions",
    "TreeStore",
    "Watcher",
    "open_watcher",
]
