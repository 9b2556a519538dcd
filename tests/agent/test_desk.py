"""The end of a desk."""

from __future__ import annotations

from pathlib import Path

from .test_watching import Tree


async def test_what_ends_while_the_agent_does_asks_for_nothing_after_the_stores_end(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    await tree.open()
    (tree.root / "f").write_text("seen by the last scan")
    tree.desk.scan(None)
    tree.desk.end()
    await tree.worker.run(tree.store.close)
    await tree.worker.close()
    assert tree.events == []
