"""Measuring l2sync and its peers side by side, on virtual hosts of this machine."""
