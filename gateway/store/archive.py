"""What was, as the console reads it: closed incidents, the journal, who saw what. Every call blocks and may be made in any thread."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime

from sqlalchemy import Engine

from gateway.core.incident import Incident
from gateway.store import audit, exports, history
from gateway.store.audit import AuditWanted
from gateway.store.chain import Broken, Row
from gateway.store.history import Search, Wanted
from gateway.store.reports import Entry, ReportBooks


class Archive:
    """Read-only. `rows`: the whole journal with its chain, from the first entry."""

    def __init__(self, engine: Engine, rows: Callable[[], Iterable[Row]]) -> None:
        self._engine = engine
        self._rows = rows
        self._books = ReportBooks(engine)

    def search(self, wanted: Wanted, before: int | None = None) -> Search:
        """A question about closed incidents, to be read in pieces."""
        return Search(self._engine, wanted, before)

    def spoken_of(self, names: Sequence[str], text: str) -> set[str]:
        """Of these incidents, open or not, the ones about which somebody wrote this text."""
        return history.spoken_of(self._engine, names, text)

    def latest(self, thing: str, limit: int) -> Iterator[Incident]:
        """The newest closed incidents of "person:…" or "device:…"."""
        return history.latest(self._engine, thing, limit)

    def opened_between(self, since: datetime, until: datetime) -> Iterator[Incident]:
        """Incidents opened since <= at < until, also open ones, oldest first."""
        return exports.incidents_of(self._engine, since, until)

    def incidents(self, names: Sequence[str]) -> dict[str, Incident]:
        """Those incidents, as they stand on disk."""
        return self._books.incidents(names)

    def entries(self, since: datetime, until: datetime, kinds: Sequence[str] = ()) -> Iterator[Entry]:
        """The journal of since <= at < until, in order."""
        return audit.entries_of(self._engine, since, until, kinds)

    def audited(self, wanted: AuditWanted, before: int | None, limit: int) -> tuple[list[Entry], int | None]:
        """Who saw and did what, newest first; and where to go on."""
        return audit.audited(self._engine, wanted, before, limit)

    def prove(self, told: Callable[[int], bool]) -> tuple[int, Broken | None]:
        """Walk the chain; see gateway.store.audit.prove."""
        return audit.prove(self._rows(), told)
