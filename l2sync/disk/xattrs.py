"""Extended attributes, POSIX access control lists among them: which a file system keeps, reading and setting them."""

from __future__ import annotations

import errno
import os
import struct
from typing import TypeAlias

from l2sync.modtree import Entry

Attributes: TypeAlias = tuple[tuple[bytes, bytes], ...]

ACCESS_ACL = b"system.posix_acl_access"
DEFAULT_ACL = b"system.posix_acl_default"
CAPABILITY = b"security.capability"
_NAMESPACES = (b"user.", b"trusted.", b"security.")
_LABELS = (b"security.selinux", b"security.SMACK64", b"security.ima", b"security.evm", b"security.apparmor")
"""Where a security module looks after these, it lets nobody take them away: then they are its own."""
_OWNER_ONLY = struct.pack("<IHHIHHIHHI", 2, 1, 7, 0xFFFFFFFF, 4, 0, 0xFFFFFFFF, 0x20, 0, 0xFFFFFFFF)
"""An access control list that says what mode 0700 says (version; then tag, permissions, id three times)."""
_NO_CAPABILITY = struct.pack("<I4I", 0x02000000, 0, 0, 0, 0)
"""A file capability (revision 2) that allows nothing."""
_TOO_BIG = (errno.ENOSPC, errno.EDQUOT, errno.E2BIG, errno.ERANGE)
"""What file systems say when an inode has no room for more attributes. On ext4 it is that of a full disk."""
_NEITHER = (errno.ENOTSUP, errno.EPERM, errno.EACCES)


class Xattrs:
    """What one file system keeps of extended attributes, for this process.

    Attributes that it does not keep are carried: they stay in the index as they came, are neither set nor missed, and
    are told on with every version made here.
    """

    def __init__(self, namespaces: frozenset[bytes], others: frozenset[bytes]) -> None:
        self._namespaces = namespaces
        self._others = others
        """Labels that are not kept, though their namespace is."""

    @classmethod
    def probe(cls, directory: int) -> Xattrs:
        """Find out by setting and taking away some on an open directory of our own."""
        namespaces = {one for one in _NAMESPACES if _keeps(directory, one + b"l2sync", b"probe")}
        if _keeps(directory, ACCESS_ACL, _OWNER_ONLY):
            namespaces |= {ACCESS_ACL, DEFAULT_ACL}
        if _keeps(directory, CAPABILITY, _NO_CAPABILITY):  # asks for a privilege of its own
            namespaces.add(CAPABILITY)
        others = {one for one in _LABELS if b"security." in namespaces and not _keeps(directory, one, b"l2sync")}
        return cls(frozenset(namespaces), frozenset(others))

    @property
    def lacking(self) -> list[str]:
        """The namespaces that are carried only, for status and log."""
        return [one.decode() for one in (*_NAMESPACES, CAPABILITY, ACCESS_ACL) if one not in self._namespaces]

    def keeps(self, attribute: bytes) -> bool:
        """Whether this attribute can be read and set here."""
        if attribute in (ACCESS_ACL, DEFAULT_ACL, CAPABILITY):
            return attribute in self._namespaces
        space = attribute[: attribute.find(b".") + 1]
        return space in self._namespaces and not any(attribute.startswith(other) for other in self._others)

    def kept(self, attributes: Attributes) -> Attributes:
        """Those of them that can be read and set here."""
        return tuple(one for one in attributes if self.keeps(one[0]))

    def seen(self, attributes: Attributes, before: Attributes) -> Attributes:
        """What to say of a file that shows ``attributes`` and was known to have ``before``: the carried ones stay."""
        carried = tuple(one for one in before if not self.keeps(one[0]))
        return tuple(sorted(attributes + carried)) if carried else attributes

    def of_open(self, fd: int) -> Attributes:
        """The attributes of an open file or directory, sorted. Raises OSError."""
        return self._read(fd, True)

    def of_child(self, child: bytes, directory: int) -> Attributes:
        """The same for a directory's child, links not followed. Raises OSError."""
        return self._read(b"/proc/self/fd/%d/%s" % (directory, child), False)

    def set_open(self, entry: Entry, fd: int) -> None:
        """Make an open file's attributes those of the entry. Raises OSError, ValueError."""
        self._set(entry, fd, True)

    def set_child(self, entry: Entry, child: bytes, directory: int) -> None:
        """The same for a directory's child, links not followed. Raises OSError, ValueError."""
        self._set(entry, b"/proc/self/fd/%d/%s" % (directory, child), False)

    def _read(self, file: int | bytes, follow: bool) -> Attributes:
        if not self._namespaces:
            return ()
        try:
            names = os.listxattr(file, follow_symlinks=follow)
        except OSError as error:
            if error.errno == errno.ENOTSUP:
                return ()
            raise
        found = []
        for attribute in names:
            raw = os.fsencode(attribute)
            if self.keeps(raw):
                try:
                    found.append((raw, os.getxattr(file, raw, follow_symlinks=follow)))
                except OSError as error:
                    if error.errno != errno.ENODATA:
                        raise
        return tuple(sorted(found))

    def _set(self, entry: Entry, file: int | bytes, follow: bool) -> None:
        wanted = dict(self.kept(entry.xattrs))
        there = dict(self._read(file, follow))
        if there == wanted:
            return
        try:
            for attribute in there.keys() - wanted.keys():
                os.removexattr(file, attribute, follow_symlinks=follow)
            for attribute, value in wanted.items():
                if there.get(attribute) != value:
                    os.setxattr(file, attribute, value, follow_symlinks=follow)
        except OSError as error:
            if error.errno in _TOO_BIG:
                raise OSError(errno.E2BIG, "its extended attributes find no room in this file system") from error
            raise OSError(error.errno, f"its extended attributes cannot be set: {error.strerror}") from error


def _keeps(directory: int, attribute: bytes, value: bytes) -> bool:
    try:
        os.setxattr(directory, attribute, value)
        os.removexattr(directory, attribute)
    except OSError as error:
        if error.errno in (*_NEITHER, errno.EINVAL, errno.ENODATA):
            return attribute == ACCESS_ACL and error.errno == errno.ENODATA
        raise
    return True
