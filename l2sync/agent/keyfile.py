"""The cluster's key file on disk: who may read it, how it is made, what it holds."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from l2sync.frames import KEY_SIZE, LocalError, format_key, load_keys

from .faults import ConfigError, Fault

MODE = 0o600
_HEADER = """\
# l2sync cluster key. Whoever has it is a member of the cluster: copy it to every host over a safe way,
# keep it readable by root only. A line for each key: its id (0 to 255), and 64 hexadecimal digits.
# The first key seals; the others only open, while one key is being replaced by another.
"""
_MOST_BYTES = 1 << 20


def read_keys(path: Path) -> dict[int, bytes]:
    """The keys by id, the active one first.

    Raises ConfigError when the file is missing, readable by others than its owner, owned by a stranger, or wrong.
    """
    try:
        # Opened once: what is checked is what is read, whatever is put in its place meanwhile.
        with open(path, "rb") as file:
            faults = _mode_faults(path, os.fstat(file.fileno()))
            text = file.read(_MOST_BYTES)
    except FileNotFoundError:
        remedy = f"make one with l2sync keygen {path}, or copy the one of the other hosts"
        raise ConfigError([_fault(path, "there is no such file", remedy)]) from None
    except OSError as error:
        raise ConfigError([_fault(path, error.strerror or str(error), "the agent must be able to read it")]) from None
    if faults:
        raise ConfigError(faults)
    try:
        return load_keys(text.decode("ascii"))
    except (LocalError, UnicodeDecodeError) as error:
        reason = str(error) if isinstance(error, LocalError) else "it is no text"
        raise ConfigError([_fault(path, reason, "copy the key file of a host that works")]) from None


def write_key(path: Path) -> None:
    """Make a key file with one new random key, mode 0600. Raises FileExistsError, never overwrites; OSError."""
    line = format_key(1, secrets.token_bytes(KEY_SIZE))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            os.fchmod(descriptor, MODE)
            file.write(f"{_HEADER}{line}\n")
            file.flush()
            os.fsync(descriptor)
    except BaseException:
        # Half a key file would be refused later, far from the cause.
        path.unlink(missing_ok=True)
        raise


def add_key(path: Path) -> int:
    """Append a new random key, which only opens frames until it is put first; its id. Raises ConfigError, OSError."""
    keys = read_keys(path)
    free = (max(keys) + 1) % 256
    while free in keys:
        free = (free + 1) % 256
    _replace(path, {**keys, free: secrets.token_bytes(KEY_SIZE)})
    return free


def use_key(path: Path, key_id: int) -> None:
    """Put a key first: frames are sealed with it from the next reload on. Raises ConfigError, OSError."""
    keys = _keys_with(path, key_id)
    _replace(path, {key_id: keys.pop(key_id), **keys})


def drop_key(path: Path, key_id: int) -> None:
    """Take a key out; not the first one. Raises ConfigError, OSError."""
    keys = _keys_with(path, key_id)
    if key_id == next(iter(keys)):
        raise ConfigError([_fault(path, f"key {key_id} is the one in use", "put another one first before it goes")])
    del keys[key_id]
    _replace(path, keys)


def _keys_with(path: Path, key_id: int) -> dict[int, bytes]:
    keys = read_keys(path)
    if key_id not in keys:
        known = ", ".join(str(known) for known in keys)
        raise ConfigError([_fault(path, f"there is no key {key_id} in it", f"it has {known}")])
    return keys


def _replace(path: Path, keys: dict[int, bytes]) -> None:
    """Write the file anew beside itself and put it in its place: it is never half written, nor gone."""
    owner = path.stat()
    aside = path.with_name(path.name + ".new")
    aside.unlink(missing_ok=True)
    with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE), "w", encoding="ascii") as file:
        os.fchmod(file.fileno(), MODE)
        os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
        file.write(_HEADER + "".join(f"{format_key(key_id, key)}\n" for key_id, key in keys.items()))
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)


def _mode_faults(path: Path, status: os.stat_result) -> list[Fault]:
    faults = []
    if not stat.S_ISREG(status.st_mode):
        return [_fault(path, "it is not a regular file", "name the key file itself")]
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        faults.append(_fault(path, f"its mode is {mode:04o}, so others than its owner may use it", f"chmod 600 {path}"))
    if status.st_uid not in (0, os.geteuid()):
        faults.append(_fault(path, f"it belongs to user {status.st_uid}", f"chown root {path}"))
    return faults


def _fault(path: Path, reason: str, remedy: str) -> Fault:
    return Fault(str(path), "cluster.key_file", reason, remedy)
