"""What a tree is, and what two trees become: entries, version vectors, digests, the merger. Pure."""

from .block import name_hash
from .codec import ENTRY, MalformedEntry, pack_entry, unpack_entry
from .entry import CHUNK_RECORD, Chunk, Entry, Kind, Observation, pack_chunks, to_entry, unpack_chunks
from .merge import (
    Resolution,
    Target,
    conflict_path,
    copy_of,
    is_conflict_copy,
    join,
    merge,
    precedence,
    resolve,
)
from .patches import LEAST_CHUNKS, apply_patch, base_of, digest_of, is_patch, pack_patch
from .paths import (
    MAX_NAME,
    MAX_PATH,
    PRIVATE,
    ROOT,
    InvalidPath,
    TreePath,
    ancestors,
    covers,
    join_path,
    name,
    parent,
    tree_path,
)
from .tree import FEW, Differences, ModTree, Piece
from .version import Order, VersionVector
from .walk import paths_after, steps
from .zeros import is_zeros, zeros_hash

__all__ = [
    "CHUNK_RECORD",
    "ENTRY",
    "FEW",
    "LEAST_CHUNKS",
    "MAX_NAME",
    "MAX_PATH",
    "PRIVATE",
    "ROOT",
    "Chunk",
    "Differences",
    "Entry",
    "InvalidPath",
    "Kind",
    "MalformedEntry",
    "ModTree",
    "Observation",
    "Order",
    "Piece",
    "Resolution",
    "Target",
    "TreePath",
    "VersionVector",
    "ancestors",
    "apply_patch",
    "base_of",
    "conflict_path",
    "copy_of",
    "covers",
    "digest_of",
    "is_conflict_copy",
    "is_patch",
    "is_zeros",
    "join",
    "join_path",
    "merge",
    "name",
    "name_hash",
    "pack_chunks",
    "pack_entry",
    "pack_patch",
    "parent",
    "paths_after",
    "precedence",
    "resolve",
    "steps",
    "to_entry",
    "tree_path",
    "unpack_chunks",
    "unpack_entry",
    "zeros_hash",
]
