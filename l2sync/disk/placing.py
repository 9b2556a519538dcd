"""Putting a staged file in its place, and taking one away, so that a user who is a moment quicker loses nothing.

Looking and then renaming leaves a moment in which a file can be saved anew, and the rename would destroy it. So what
stands there is exchanged with what is staged, looked at once it is out of everybody's way, and put back when it is
not what was expected.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable
from typing import TypeAlias

from .beneath import RENAME_EXCHANGE, RENAME_NOREPLACE, rename_beneath
from .freeing import Freeing
from .look import signature, without_ctime

_UNSUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
"""What file systems say that know no exchange (NFS for one): there the moment cannot be closed."""


Keep: TypeAlias = Callable[[bytes, int], bool]
"""Moves a directory's child to where replaced versions are kept; False if it is to be removed. Raises OSError."""


class Raced(Exception):
    """What stood there was not what had been judged; it stands there again."""


def put(
    staged: bytes,
    area: int,
    child: bytes,
    directory: int,
    expected: os.stat_result | None,
    keep: Keep | None = None,
    freeing: Freeing | None = None,
) -> None:
    """Move ``staged`` in the directory ``area`` to ``child`` in ``directory``, where ``expected`` was seen to stand.

    What is replaced is kept by ``keep`` or removed (by ``freeing``), a directory only if empty (else OSError ENOTEMPTY,
    and all is as before). Raises Raced, OSError.
    """
    if expected is None:
        _put_new(staged, area, child, directory)
        return
    try:
        rename_beneath(staged, area, child, directory, RENAME_EXCHANGE)
    except FileNotFoundError as error:
        raise Raced from error
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        _put_over(staged, area, child, directory, expected, keep)
        return
    try:
        _judge(staged, area, expected)
        _destroy(staged, area, expected, keep, freeing)
    except (OSError, Raced):
        with contextlib.suppress(FileNotFoundError):  # deleted meanwhile: then ours goes the way of the user's
            rename_beneath(staged, area, child, directory, RENAME_EXCHANGE)
        raise


def put_if_free(staged: bytes, area: int, child: bytes, directory: int) -> bool:
    """The same where nothing should stand; False if something does, or it cannot be done for whatever reason."""
    try:
        rename_beneath(staged, area, child, directory, RENAME_NOREPLACE)
    except OSError:
        return False
    return True


def take(
    child: bytes,
    directory: int,
    spare: bytes,
    area: int,
    expected: os.stat_result,
    keep: Keep | None = None,
    freeing: Freeing | None = None,
) -> None:
    """Remove (by ``freeing``), or keep, a file or link that was seen as ``expected``, by way of the name ``spare``.

    Raises Raced, OSError.
    """
    try:
        rename_beneath(child, directory, spare, area, RENAME_NOREPLACE)
    except FileNotFoundError as error:
        raise Raced from error
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        _destroy(child, directory, expected, keep)
        return
    try:
        _judge(spare, area, expected)
        _destroy(spare, area, expected, keep, freeing)
    except (OSError, Raced):
        with contextlib.suppress(FileExistsError):  # the user has made another one already
            rename_beneath(spare, area, child, directory, RENAME_NOREPLACE)
        raise


def _put_new(staged: bytes, area: int, child: bytes, directory: int) -> None:
    try:
        rename_beneath(staged, area, child, directory, RENAME_NOREPLACE)
    except FileExistsError as error:
        raise Raced from error
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        os.rename(staged, child, src_dir_fd=area, dst_dir_fd=directory)


def _put_over(
    staged: bytes, area: int, child: bytes, directory: int, expected: os.stat_result, keep: Keep | None
) -> None:
    """Without an exchange a thing of another kind has to go first."""
    old, new = stat.S_ISDIR(expected.st_mode), stat.S_ISDIR(os.stat(staged, dir_fd=area, follow_symlinks=False).st_mode)
    if old and not new:
        os.rmdir(child, dir_fd=directory)
    elif new and not old:
        _destroy(child, directory, expected, keep)
    elif keep is not None:
        keep(child, directory)
    os.rename(staged, child, src_dir_fd=area, dst_dir_fd=directory)


def _judge(child: bytes, directory: int, expected: os.stat_result) -> None:
    found = os.stat(child, dir_fd=directory, follow_symlinks=False)
    if stat.S_ISDIR(expected.st_mode) and stat.S_ISDIR(found.st_mode):
        return  # its content tells: it is removed only when empty
    if without_ctime(signature(found)) != without_ctime(signature(expected)):
        raise Raced


def _destroy(
    child: bytes, directory: int, status: os.stat_result, keep: Keep | None, freeing: Freeing | None = None
) -> None:
    if stat.S_ISDIR(status.st_mode):
        os.rmdir(child, dir_fd=directory)
    elif keep is None or not keep(child, directory):
        if freeing is not None:
            freeing.remove(child, directory, status)
        else:
            os.unlink(child, dir_fd=directory)
