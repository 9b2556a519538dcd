"""The cluster's key file: made so that only its owner reads it, refused when others can."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from l2sync.frames import Keyring, LocalError, format_key, load_keys

from .faults import Fault, Unusable

KEY_SIZE = 32


def make_key_file(file: Path) -> None:
    """Write a new key file, mode 0600. Raises FileExistsError rather than overwrite one, and OSError."""
    text = (
        f"# The key of an l2sync cluster: whoever has it is a member.\n{format_key(1, secrets.token_bytes(KEY_SIZE))}\n"
    )
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as out:
        # The mode at creation is subject to the umask, which may take more away than we want.
        os.fchmod(descriptor, 0o600)
        out.write(text)
        out.flush()
        os.fsync(descriptor)


def read_keyring(file: Path, cluster_name: str, key: str = "cluster.key_file", config: str = "") -> Keyring:
    """The keys in this file, the first one active. Raises Unusable where it is missing, open to others or bad."""

    def unusable(reason: str, remedy: str) -> Unusable:
        return Unusable([Fault(config or str(file), key if config else "", f"{file}: {reason}", remedy)])

    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise unusable("there is no such file", f"copy it from another node, or `l2sync keygen {file}`") from None
    except OSError as error:
        raise unusable(f"cannot be opened: {error.strerror}", "run as root, or mend its mode") from error
    with os.fdopen(descriptor, "rb") as opened:
        # Asked of what is open, so that nobody can swap the file between the look and the reading.
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise unusable("not a regular file", "name the key file itself")
        if status.st_mode & 0o077:
            mode = stat.S_IMODE(status.st_mode)
            raise unusable(f"open to group or others (mode {mode:04o})", f"chmod 600 {file}, and mind who may know it")
        if status.st_uid not in (0, os.geteuid()):
            raise unusable(f"belongs to user {status.st_uid}", f"chown root {file}")
        raw = opened.read(1 << 20)
    try:
        keys = load_keys(raw.decode())
        return Keyring(cluster_name, keys, next(iter(keys)))
    except (LocalError, UnicodeDecodeError) as error:
        reason = str(error) if isinstance(error, LocalError) else "not text"
        raise unusable(reason, "copy it anew from another node") from error
