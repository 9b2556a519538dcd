from pathlib import Path


def show(nodes: int, tree: Path | None, keep: bool) -> int:
    return 0
