"""A batch's content on its way to everybody at once: chunks, generations, repair, pacing. Pure."""

from .assembler import Assembler, Run, single
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
    "Run",
    "chunk_table",
    "ranges_of",
    "single",
]
