"""What was, in the tables of all shards: each question is put to those that it concerns, and the answers are laid together."""

import heapq
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice

import msgspec

from gateway.clock import from_micros
from gateway.core.incident import Incident
from gateway.core.state import number_of
from gateway.store.archive import Archive
from gateway.store.audit import AuditWanted
from gateway.store.chain import Broken
from gateway.store.history import PIECE, Search, Wanted
from gateway.store.reports import Entry


class ArchiveOfShards(Archive):
    """As gateway.store.archive.Archive, of one shard after the other. of: the shard of an incident."""

    def __init__(self, archives: Sequence[Archive], of: Callable[[str], int]) -> None:
        self._archives = archives
        self._of = of

    def search(self, wanted: Wanted, before: int | None = None) -> Search:
        """Newest number first, which is nearly the newest incident: each shard counts by itself."""
        return SearchOfShards([one.search(wanted, before) for one in self._archives], before)

    def spoken_of(self, names: Sequence[str], text: str) -> set[str]:
        found: set[str] = set()
        for shard, mine in self._shared(names).items():
            found |= self._archives[shard].spoken_of(mine, text)
        return found

    def latest(self, thing: str, limit: int) -> Iterator[Incident]:
        found = [one for archive in self._archives for one in islice(archive.latest(thing, limit), limit)]
        return iter(sorted(found, key=lambda one: one.opened_at, reverse=True)[:limit])

    def opened_between(self, since: datetime, until: datetime) -> Iterator[Incident]:
        return heapq.merge(*(one.opened_between(since, until) for one in self._archives), key=lambda one: one.opened_at)

    def incidents(self, names: Sequence[str]) -> dict[str, Incident]:
        found: dict[str, Incident] = {}
        for shard, mine in self._shared(names).items():
            found |= self._archives[shard].incidents(mine)
        return found

    def entries(self, since: datetime, until: datetime, kinds: Sequence[str] = ()) -> Iterator[Entry]:
        return heapq.merge(*(one.entries(since, until, kinds) for one in self._archives), key=lambda one: one.at)

    def audited(self, wanted: AuditWanted, before: int | None, limit: int) -> tuple[list[Entry], int | None]:
        """Where to go on is a time here (microseconds), as each shard has a sequence of its own."""
        if before is not None:
            until = from_micros(before)
            wanted = msgspec.structs.replace(wanted, until=until if wanted.until is None else min(until, wanted.until))
        found: list[Entry] = []
        looked_to = 0
        for archive in self._archives:
            mine, following = archive.audited(wanted, None, limit)
            while not mine and following is not None:
                mine, following = archive.audited(wanted, following, limit)
            found += mine
            if following is not None:
                looked_to = max(looked_to, mine[-1].at)
        found = sorted((one for one in found if one.at >= looked_to), key=lambda one: (-one.at, -one.seq))
        if len(found) > limit:
            cut = found[limit].at  # what was done in one moment stays together, as the next page begins before it
            found = [one for one in found[:limit] if one.at > cut] or [one for one in found if one.at == found[0].at]
            return found, found[-1].at
        return found, looked_to or None

    def prove(self, told: Callable[[int], bool]) -> tuple[int, Broken | None]:
        """Every shard's chain, one after the other."""
        proven = 0
        for archive in self._archives:
            before = proven
            count, broken = archive.prove(lambda so_far, before=before: told(before + so_far))  # type: ignore[misc]
            proven += count
            if broken is not None:
                return proven, broken
        return proven, None

    def _shared(self, names: Sequence[str]) -> Mapping[int, list[str]]:
        found: dict[int, list[str]] = {}
        for name in names:
            found.setdefault(self._of(name), []).append(name)
        return found


class SearchOfShards(Search):
    """One question to all shards: the one that has looked least far goes on."""

    def __init__(self, searches: Sequence[Search], before: int | None) -> None:
        self._searches = searches
        self._found: list[Incident] = []
        self.before = before
        self.looked_to = None
        self.is_done = False

    def piece(self, limit: int = PIECE) -> list[Incident]:
        behind = max((one for one in self._searches if not one.is_done), key=_depth, default=None)
        if behind is not None:
            self._found += behind.piece(limit)
        bound = max((_depth(one) for one in self._searches if not one.is_done), default=0.0)
        ready = sorted((one for one in self._found if number_of(one.id) >= bound), key=lambda one: -number_of(one.id))
        self._found = [one for one in self._found if number_of(one.id) < bound]
        self.is_done = all(one.is_done for one in self._searches)
        depths = [one.before for one in self._searches if one.before is not None]
        if bound and bound != math.inf:
            self.before = int(bound)
        elif self.is_done and depths:
            self.before = min(depths)
        self.looked_to = max((one.looked_to for one in self._searches if one.looked_to is not None), default=None)
        return ready


def _depth(search: Search) -> float:
    """Down to which number it has looked; nowhere yet: above all."""
    return math.inf if search.before is None else float(search.before)
