"""Who is banned: records by node name of which the latest word holds, wherever and in what order they are heard."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_MOST = 512


@dataclass(frozen=True, slots=True)
class BanRecord:
    """One word about one name: ``banned`` or not any more, said at logical time ``stamp`` on the node ``by``."""

    name: str
    banned: bool
    stamp: int
    by: str

    @property
    def rank(self) -> tuple[int, str, bool]:
        """The greater of two about one name holds."""
        return self.stamp, self.by, self.banned


class BanList:
    """The records that hold."""

    def __init__(self, records: Iterable[BanRecord] = ()) -> None:
        self._records: dict[str, BanRecord] = {}
        for record in records:
            self.take(record)

    def __len__(self) -> int:
        return len(self._records)

    def records(self) -> tuple[BanRecord, ...]:
        """All of them, lifted bans too: these must outlast the bans that others may still tell of."""
        return tuple(self._records[name] for name in sorted(self._records))

    def banned(self, name: str) -> bool:
        """Whether nothing of this node is believed."""
        known = self._records.get(name)
        return known is not None and known.banned

    def get(self, name: str) -> BanRecord | None:
        """What was last said of a name."""
        return self._records.get(name)

    def latest(self) -> int:
        """The highest stamp."""
        return max((record.stamp for record in self._records.values()), default=0)

    def take(self, record: BanRecord) -> bool:
        """Hear a word; whether it is a new one that holds. A list that is full forgets its oldest lifted ban."""
        known = self._records.get(record.name)
        if known is not None and known.rank >= record.rank:
            return False
        if known is None and len(self._records) >= _MOST:
            lifted = [other for other in self._records.values() if not other.banned]
            if not lifted:
                return False
            del self._records[min(lifted, key=lambda other: other.rank).name]
        self._records[record.name] = record
        return True
