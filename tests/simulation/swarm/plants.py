"""Bugs planted on purpose, to see that the swarm bites."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Plant:
    """A bug: what it is, and how to put it in; what is entered in the stack is undone afterwards."""

    about: str
    sow: Callable[[ExitStack], None]


PLANTS: dict[str, Plant] = {}


@contextmanager
def planted(name: str) -> Iterator[None]:
    """Have the bug in the code for a while. Raises KeyError."""
    with ExitStack() as stack:
        PLANTS[name].sow(stack)
        yield
