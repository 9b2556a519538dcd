"""A batch's content on its way to everybody at once: chunks, generations, repair, pacing. Pure."""

from .assembler import Assembler, Symbol
from .backoff import Cadence
from .broadcaster import Broadcaster
from .chunks import ChunkTable, chunk_table, ranges_of
from .coding import BadGeneration
from .pacer import Pacer, PacerSettings

__all__ = [
    "Assembler",
    "BadGeneration",
    "Broadcaster",
    "Cadence",
    "ChunkTable",
    "Pacer",
    "PacerSettings",
    "Symbol",
    "chunk_table",
    "ranges_of",
]
