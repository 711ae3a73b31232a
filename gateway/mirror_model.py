"""The working sets of all shards as one, for consoles: read from their tables, then kept true by what the shards tell.

It decides nothing. What a shard has on disk replaces all that was known of that shard; what it tells afterwards is laid over it.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

import msgspec

from gateway.bus.shard_words import Told
from gateway.core.account import Account, AccountSession
from gateway.core.incident import Incident, State
from gateway.core.shards import CATCH_ALL, Shards
from gateway.core.state import STRANGERS_LIMIT, Call, Draft, Seen, WorkingSet
from gateway.core.supervised import Silence
from gateway.core.supervision import still_silent
from gateway.core.territory import Standing
from gateway.pipeline import CLOSED_KEPT, Changes
from gateway.store import accounts
from gateway.store.store import Store

MACHINE = "gateway"
OFF_REGISTER = ("person:", "watch:", "test:")  # what has a sign of life without being a device


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A shard as its tables have it. closed: since `since`; steps: facts of the steps of calls since then; access: of the shard that keeps it."""

    incidents: list[Incident]
    closed: list[Incident]
    calls: list[Call]
    seen: list[tuple[str, Seen]]
    standings: list[Standing]
    steps: list[str]
    accounts: list[Account] = []
    sessions: list[AccountSession] = []


def read(store: Store, shard: int, since: datetime, steps_since: datetime) -> Found:
    """Blocks. Raises SQLAlchemyError."""
    found = store.load(known_limit=0)
    return Found(
        incidents=found.incidents,
        closed=list(store.closed_since(since)),
        calls=found.calls,
        seen=found.seen,
        standings=found.standings,
        steps=list(store.call_steps(steps_since)),
        accounts=accounts.accounts(store.engine) if shard == CATCH_ALL else [],
        sessions=accounts.sessions(store.engine) if shard == CATCH_ALL else [],
    )


class Model:
    """`working` is what the console reads."""

    def __init__(self, working: WorkingSet, shards: Shards) -> None:
        self.working = working
        self.shards = shards
        self._calls: dict[int, set[str]] = {shard: set() for shard in range(shards.count)}
        self._silent: dict[int, set[str]] = {shard: set() for shard in range(shards.count)}
        self._standings: dict[int, dict[str, Standing]] = {shard: {} for shard in range(shards.count)}
        self._leaving: deque[tuple[datetime, str]] = deque()

    def take(self, shard: int, found: Found, now: datetime) -> Changes:
        """A shard was read whole."""
        lately = [one for one in found.closed if one.closed_at is not None and one.closed_at > now - CLOSED_KEPT]
        incidents = {one.id: one for one in (*found.incidents, *lately)}
        gone = [name for name, one in self.working.incidents.items() if self.shards.of_incident(name) == shard and name not in incidents]
        changed = self._incidents({**dict.fromkeys(gone), **incidents}, now)
        calls = {call.key: call for call in found.calls}
        over = self._calls[shard] - calls.keys()
        self._put_calls(shard, {**dict.fromkeys(over), **calls})
        standings = {one.key: one for one in found.standings}
        lifted = self._standings[shard].keys() - standings.keys()
        self._put_standings(shard, {**dict.fromkeys(lifted), **standings})
        self._see(dict(found.seen), frozenset(key for key, _ in found.seen if self._is_strange(key)))
        draft = Draft(self.working)
        still_silent(draft, (one for one in incidents.values() if one.is_open))
        ended = self._silent[shard] - draft.silent.written.keys()
        self._be_silent(shard, {**dict.fromkeys(ended), **draft.silent.written})
        return Changes(incidents=frozenset((*changed, *gone)), calls=frozenset((*calls, *over)))

    def apply(self, shard: int, told: Told, now: datetime) -> Changes:
        """A shard has told what is otherwise."""
        changed = self._incidents(told.incidents, now)
        self._put_calls(shard, told.calls)
        self._put_standings(shard, told.standings)
        self._be_silent(shard, told.silent)
        self._see(told.seen, frozenset(told.strangers))
        for key, at in told.sent:
            self.working.senders.note(key, at, self.working.desk)
        return Changes(incidents=frozenset(changed), calls=frozenset(told.calls))

    def adopt(self, incident: Incident, now: datetime) -> None:
        """A closed one that somebody wants to read, for a while."""
        self.working.adopt(incident)
        self._leaving.append((now + CLOSED_KEPT, incident.id))

    def tick(self, now: datetime) -> None:
        """Let go of closed incidents whose time is over."""
        while self._leaving and self._leaving[0][0] <= now:
            self.working.forget(self._leaving.popleft()[1])

    def _incidents(self, changed: Mapping[str, Incident | None], now: datetime) -> Iterable[str]:
        draft = Draft(self.working)
        exact: dict[str, Incident] = {}
        for name, one in changed.items():
            if one is not None:
                draft.put(one)
                exact[name] = one
                if not one.is_open:
                    self._leaving.append((now + CLOSED_KEPT, name))
        draft.settle()
        self.working.incidents.update(exact)  # as their shard has them, whatever `put` would add
        for name in changed.keys() - exact.keys():
            known = self.working.incidents.get(name)
            if known is not None and known.is_open:  # erased, or closed while nobody told: its tables have the rest
                draft = Draft(self.working)
                draft.put(msgspec.structs.replace(known, state=State.CLOSED))
                draft.settle()
            self.working.forget(name)
        return changed.keys()

    def _put_calls(self, shard: int, calls: Mapping[str, Call | None]) -> None:
        for key, call in calls.items():
            if call is None:
                self.working.calls.pop(key, None)
                self._calls[shard].discard(key)
            else:
                self.working.calls[key] = call
                self._calls[shard].add(key)

    def _put_standings(self, shard: int, standings: Mapping[str, Standing | None]) -> None:
        """What is ruled about everything stands in every shard; what a machine found in its own share stands in that one alone."""
        for key, standing in standings.items():
            if standing is None:
                self._standings[shard].pop(key, None)
            else:
                self._standings[shard][key] = standing
            mine = [known[key] for known in self._standings.values() if key in known]
            if mine:
                self.working.standings[key] = max(mine, key=lambda one: (one.actor == MACHINE and bool(one.value), one.at))
            else:
                self.working.standings.pop(key, None)

    def _be_silent(self, shard: int, silent: Mapping[str, Silence | None]) -> None:
        working = self.working
        for name, silence in silent.items():
            if silence is None:
                working.silent.pop(name, None)
                self._silent[shard].discard(name)
            else:
                working.silent[name] = silence
                self._silent[shard].add(name)
        if silent:
            working.silent_behind.clear()
            working.silent_behind.update(working.supervision.silent_behind(working.silent))

    def _see(self, seen: Mapping[str, Seen], strangers: frozenset[str]) -> None:
        """Devices of the register are as many as it has, so only strangers are bounded here."""
        working = self.working
        for key, one in seen.items():
            if key in strangers:
                working.strangers[key] = one
                working.strangers.move_to_end(key)
                continue
            working.seen[key] = one
            line, _, address = key.partition("|")
            heard = working.supervision.of(working.register.device(line, address)) if address else None
            if heard is not None:
                working.supervision.heard(heard, one.at, line)
            if one.watching is not None:
                watched = working.watch.by_person.get(key.removeprefix("watch:"))
                if watched is not None:
                    watched.state = one.watching
        while len(working.strangers) > STRANGERS_LIMIT:
            working.strangers.popitem(last=False)

    def _is_strange(self, key: str) -> bool:
        line, _, address = key.partition("|")
        return not line.startswith(OFF_REGISTER) and self.working.register.device(line, address) is None


def lately(now: datetime, *windows_s: float) -> datetime:
    """Since when closed incidents matter to a console: for its clocks, and until they fade."""
    return now - max(CLOSED_KEPT, *(timedelta(seconds=window) for window in windows_s))
