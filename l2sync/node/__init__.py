"""The whole protocol of one node, without I/O: see `Node`, and `api` for what goes in and comes out."""

from .core import Node

__all__ = ["Node"]
