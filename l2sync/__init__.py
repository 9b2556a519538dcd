"""Keeps directory trees identical on all hosts of an Ethernet segment."""

__version__ = "0.1.0"
