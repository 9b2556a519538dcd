"""How much a node holds, all its tables taken together."""

from __future__ import annotations

import sys
from collections import deque
from enum import Enum
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType

_OUTSIDE = (type, ModuleType, FunctionType, BuiltinFunctionType, MethodType, Enum)


def held(thing: object) -> int:
    """Bytes of an object and of all that it refers to, functions and classes left out."""
    seen: set[int] = set()
    total = 0
    waiting: list[object] = [thing]
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, _OUTSIDE):
            continue
        seen.add(id(one))
        total += sys.getsizeof(one)
        if isinstance(one, dict):
            waiting += one.keys()
            waiting += one.values()
        elif isinstance(one, list | tuple | set | frozenset | deque):
            waiting += one
        elif not isinstance(one, bytes | str | int | float):
            waiting += list(getattr(one, "__dict__", {}).values())
            for kind in type(one).__mro__:
                slots = getattr(kind, "__slots__", ())
                names = (slots,) if isinstance(slots, str) else slots
                waiting += [getattr(one, name) for name in names if hasattr(one, name)]
    return total
