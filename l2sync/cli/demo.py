"""`l2sync demo`: agents in virtual hosts on one segment, a real tree, trouble, and a proof of equality."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from l2sync.agent.keyfile import write_key

from .demonodes import DemoNode, Snapshot, build_nodes, wait_until_agreed
from .exits import Failure
from .lab import Lab, LabError, check_prerequisites, sweep
from .proof import rsync_differences, tree_digest
from .tables import amount

_PLACE = Path("/var/tmp")
_PREFIX = "l2sync-demo-"
_KEPT = "kept"
_FIRST_S = 900.0
_LATER_S = 120.0
_SPARE = 256 << 20


@click.command()
@click.option("--nodes", metavar="N", type=click.IntRange(2, 32), default=4, show_default=True, help="How many hosts.")
@click.option(
    "--tree",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=Path("/usr/share/doc"),
    show_default=True,
    help="The directory to copy and keep identical; it is only read.",
)
@click.option("--keep", is_flag=True, help="Leave all of it running at the end, to look around.")
@click.option("--remove", is_flag=True, help="Remove what --keep left, and do nothing else.")
def demo(nodes: int, tree: Path, keep: bool, remove: bool) -> None:
    """Show l2sync at work on this machine (needs root; touches neither its network nor its files).

    Agents run in network namespaces on a bridge of their own. One gets a copy of a real tree, all edit it, one is
    killed and comes back; at the end the trees are compared. All that was made is removed, also on Ctrl-C.
    """
    try:
        check_prerequisites()
        if remove:
            _remove_kept()
            return
        with _folder(keep) as folder, Lab(nodes) as lab:
            _Demo(lab, folder).play(tree.resolve())
            if keep:
                lab.keep()
    except LabError as error:
        raise Failure(str(error)) from None
    except OSError as error:
        raise Failure(f"the demonstration broke off: {error}") from None
    if keep:
        _tell_kept(folder)


class _Demo:
    """The acts, one after the other, and what is shown meanwhile."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.folder = folder
        self.console = Console(highlight=False)
        key = folder / "cluster.key"
        write_key(key)
        self.nodes = build_nodes(lab, folder, key)

    def play(self, source: Path) -> None:
        """All of it. Raises Failure where something is not as it should be."""
        size = self._copy(source)
        self._act(f"{len(self.nodes)} agents on one segment; node1 has the tree, the others have nothing")
        before = self.lab.traffic()
        with self._timed("all have it"):
            for node in self.nodes:
                node.start()
            self._settle(_FIRST_S, least=self._count(self.nodes[0].tree))
        sent = sum(t.sent for t in self.lab.traffic()) - sum(t.sent for t in before)
        self._say(f"{amount(sent)} on the wire for {amount(size)} of content on {len(self.nodes) - 1} receivers")
        self._edit_everywhere()
        self._crash_and_return()
        self._prove()

    def _copy(self, source: Path) -> int:
        """Give the first node a copy; the bytes of its files. Hard links and extended attributes are left out."""
        self._act(f"copying {source}")
        size = sum(_file_size(path) for path in _walk(source))
        room = shutil.disk_usage(self.folder).free
        if size * len(self.nodes) + _SPARE > room:
            raise Failure(
                f"{len(self.nodes)} copies of {source} ({amount(size)} each) do not fit into {_PLACE}; "
                "name a smaller one with --tree, or fewer --nodes"
            )
        target = self.nodes[0].tree
        command = ["cp", "-dR", "--preserve=mode,ownership,timestamps", "-T", str(source), str(target)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failure(f"{source} cannot be copied: {done.stderr.strip()}")
        self._say(f"{self._count(target):,} entries, {amount(size)}")
        return size

    def _edit_everywhere(self) -> None:
        self._act("edits on several nodes at once: new files, a moved directory, a deletion, modes")
        first, second, last = self.nodes[0], self.nodes[1], self.nodes[-1]
        directory = _some_directory(first.tree)
        with self._timed("flushed: every edit is on every node"):
            (first.tree / "written-on-node1").write_text("a new file\n")
            (second.tree / "from-node2").mkdir()
            for number in range(100):
                (second.tree / "from-node2" / f"file{number}").write_text(f"{number}\n" * 50)
            if directory is not None:
                (last.tree / directory).rename(last.tree / f"{directory.name}-moved")
            if (victim := _some_file(second.tree)) is not None:
                victim.unlink()
            os.chmod(first.tree / "written-on-node1", 0o4750)
            for node in (first, second, last):
                node.flush(_LATER_S)
            self._settle(_LATER_S)

    def _crash_and_return(self) -> None:
        victim, other = self.nodes[-1], self.nodes[0]
        self._act(f"{victim.name} is killed (SIGKILL) while 32 MiB arrive; then both sides edit the same file")
        shared = "edited-on-both-sides"
        (other.tree / shared).write_text("before\n")
        other.flush(_LATER_S)
        (other.tree / "big").write_bytes(os.urandom(32 << 20))
        time.sleep(0.15)
        victim.kill()
        (victim.tree / shared).write_text(f"by {victim.name}, while it was down\n")
        (victim.tree / "made-while-down").write_text("made without an agent\n")
        with self._timed("the others carry on without it"):
            (other.tree / shared).write_text(f"by {other.name}, while {victim.name} was down\n")
            self._settle(_LATER_S)
            other.flush(_LATER_S)
        self._act(f"{victim.name} returns")
        with self._timed("all are in sync again"):
            victim.start()
            self._settle(_LATER_S)
        copies = sorted(path.name for path in other.tree.glob(f"{shared}.conflict-*"))
        if not copies:
            raise Failure(f"both sides edited {shared}, and no conflict copy was kept")
        self._say(f"both versions are kept on every node: {shared} and {', '.join(copies)}")

    def _prove(self) -> None:
        self._act("the proof, without the agents' help")
        for node in self.nodes:
            node.flush(_LATER_S)
        self._settle(_LATER_S)
        digests = {node.name: tree_digest(node.tree) for node in self.nodes}
        for name, digest in digests.items():
            self._say(f"{name}  sha256 of names, attributes and contents  {digest[:32]}…")
        different = [name for name, digest in digests.items() if digest != digests["node1"]]
        compared = True
        for node in self.nodes[1:]:
            found = rsync_differences(self.nodes[0].tree, node.tree)
            compared = found is not None
            if found:
                different.append(node.name)
                self.console.print(Text(f"rsync finds between node1 and {node.name}:\n" + "\n".join(found[:20])))
        if different:
            raise Failure(f"not equal to node1: {', '.join(dict.fromkeys(different))}")
        witness = "rsync -aHAXnc finds nothing to change" if compared else "rsync is not installed here"
        count = self._count(self.nodes[0].tree)
        verdict = f"EQUAL: {len(self.nodes)} trees of {count:,} entries; {witness}"
        self.console.print(Text(verdict, "bold green"), soft_wrap=True)

    def _settle(self, seconds: float, least: int = 0) -> None:
        """Wait until the agents agree (on ``least`` entries or more), showing how far they are."""
        if not self.console.is_terminal:
            wait_until_agreed(self.nodes, seconds, lambda snapshot: None, lambda snap: _enough(snap, least))
            return
        with Live(console=self.console, transient=True, auto_refresh=False) as live:

            def show(snapshot: Snapshot) -> None:
                live.update(_progress(self.nodes, snapshot), refresh=True)

            wait_until_agreed(self.nodes, seconds, show, lambda snap: _enough(snap, least))

    def _act(self, title: str) -> None:
        self.console.print(Text(f"\n{title}", "bold"), soft_wrap=True)

    def _say(self, text: str) -> None:
        self.console.print(Text(f"  {text}"), soft_wrap=True)

    @contextlib.contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        begin = time.monotonic()
        yield
        self._say(f"{what}: {time.monotonic() - begin:.2f} s")

    def _count(self, tree: Path) -> int:
        """Entries, the root among them, as the agents count."""
        return 1 + sum(1 for _ in _walk(tree))


def _enough(snapshot: Snapshot, least: int) -> bool:
    trees = [snapshot.tree(name) for name in snapshot.seen]
    return all(tree is None or tree.entries >= least for tree in trees)


def _progress(nodes: list[DemoNode], snapshot: Snapshot) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False)
    for column in ("  node", "state", "entries", "size", "pending", "digest"):
        table.add_column(column, justify="right" if column in {"entries", "size", "pending"} else "left")
    for node in nodes:
        tree = snapshot.tree(node.name)
        if tree is None:
            state = "killed" if node.process is None else "starting"
            table.add_row(f"  {node.name}", Text(state, "red" if state == "killed" else "yellow"))
            continue
        style = "green" if tree.state == "in sync" else "yellow"
        numbers = f"{tree.entries:,}", amount(tree.bytes), f"{tree.pending:,}"
        table.add_row(f"  {node.name}", Text(tree.state, style), *numbers, tree.root_digest[:12])
    return table


@contextlib.contextmanager
def _folder(keep: bool) -> Iterator[Path]:
    """A directory that is removed at the end, unless all went well and it is to be kept."""
    for left in _left_folders(kept=False):
        _remove_folder(left)
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=_PLACE))
    done = False
    try:
        yield folder
        done = True
    finally:
        if keep and done:
            (folder / _KEPT).touch()
        else:
            _remove_folder(folder)


def _left_folders(kept: bool) -> list[Path]:
    """What demonstrations left that no longer run: killed ones, and those kept on purpose if ``kept``."""
    found = []
    for folder in sorted(_PLACE.glob(f"{_PREFIX}*-*")):
        pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdigit() and not Path("/proc", pid).exists() and (kept or not (folder / _KEPT).exists()):
            found.append(folder)
    return found


def _remove_folder(folder: Path) -> None:
    # A second Ctrl-C must not leave half of it behind.
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        signal.signal(signal.SIGINT, former)


def _remove_kept() -> None:
    names = sweep(kept=True)
    folders = _left_folders(kept=True)
    for folder in folders:
        _remove_folder(folder)
    click.echo(f"removed {len(names)} namespaces and {len(folders)} directories")


def _tell_kept(folder: Path) -> None:
    click.echo(f"""
Everything still runs in {folder}; for instance:
    l2sync status --watch --socket {folder}/node1/control.sock
    touch {folder}/node1/tree/hello && ls -l {folder}/node*/tree/hello
    tail -f {folder}/node1/log
When you have seen enough: l2sync demo --remove""")


def _walk(top: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(top) as entries:
        for entry in entries:
            if entry.name == ".l2sync":
                continue
            yield entry
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path))


def _file_size(entry: os.DirEntry[str]) -> int:
    return entry.stat(follow_symlinks=False).st_size if entry.is_file(follow_symlinks=False) else 0


def _some_directory(tree: Path) -> Path | None:
    """A directory at the top with something in it."""
    for entry in sorted(_top(tree), key=lambda entry: entry.name):
        if entry.is_dir(follow_symlinks=False) and any(os.scandir(entry.path)):
            return Path(entry.name)
    return None


def _some_file(tree: Path) -> Path | None:
    """A file that no other edit of the demonstration touches."""
    for entry in sorted(_top(tree), key=lambda entry: entry.name, reverse=True):
        if entry.is_dir(follow_symlinks=False) and entry.name != "from-node2":
            for inner in sorted(os.listdir(entry.path)):
                path = Path(entry.path, inner)
                if path.is_file() and not path.is_symlink():
                    return path
    return None


def _top(tree: Path) -> list[os.DirEntry[str]]:
    return [entry for entry in os.scandir(tree) if entry.name != ".l2sync"]
