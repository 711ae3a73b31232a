"""Taking data out of the house: incidents, journal, calls or the audit log of a period as CSV or JSON lines; and the list of what was taken before.

First the file is written, out of sight; then the journal says who takes what, why, how many rows and their SHA-256; only then there is a ticket,
good once, for this browser, for a minute.
"""

import asyncio
import hashlib
import secrets
import tempfile
import weakref
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import IO, NamedTuple

from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from gateway.console.asking import Body, answered, time
from gateway.console.audit_routes import actor_of, entry_view
from gateway.console.export_rows import FORMATS, Rows, rows_of, written
from gateway.console.guard import cookie_name, reader_of
from gateway.console.reader import Reader
from gateway.console.seam import House
from gateway.console.tickets import Tickets
from gateway.console.views import Json
from gateway.core.account import AccountRole
from gateway.core.routing import CHINA
from gateway.errors import Refused, StoreDown
from gateway.event import Kind
from gateway.store.audit import AuditWanted

# What may be taken out, and by whom; full data only by who may see them one by one.
SCOPES: dict[str, frozenset[AccountRole]] = {
    "incidents": frozenset((AccountRole.SUPERVISOR, AccountRole.LOCAL)),
    "journal": frozenset((AccountRole.SUPERVISOR, AccountRole.LOCAL)),
    "calls": frozenset((AccountRole.SUPERVISOR, AccountRole.LOCAL)),
    "audit": frozenset((AccountRole.AUDITOR, AccountRole.LOCAL)),
}
FULL = frozenset((AccountRole.SUPERVISOR, AccountRole.LOCAL))
LONGEST = timedelta(days=366)
ROWS_AT_MOST = 200_000  # 60 MB of CSV; who needs more takes it month by month
REASON = (4, 500)  # characters
TICKET_S = 60.0
CHUNK = 64 * 1024
LISTED = 50
TYPES = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson"}


class Taken(NamedTuple):
    """A file that waits to be fetched."""

    file: IO[bytes]
    name: str
    type: str
    size: int


class ExportRoutes:
    """One export at a time: it reads a year."""

    def __init__(self, house: House, body: Body, clock: Callable[[], float]) -> None:
        self._house = house
        self._body = body
        self._one = asyncio.Lock()
        self._tickets: Tickets[Taken] = Tickets(clock, TICKET_S, lambda taken: taken.file.close())
        weakref.finalize(self, self._tickets.clear)

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/api/v1/exports", self.earlier),
            Route("/api/v1/exports", self.take, methods=["POST"]),
            Route("/api/v1/exports/{ticket}", self.fetch),
        ]

    async def earlier(self, request: Request) -> Response:
        """What was taken out before: by oneself, or, for the auditor, by anybody."""
        house, reader = self._house, reader_of(request)
        mine = actor_of(reader) if reader.role is AccountRole.SUPERVISOR else ""
        wanted = AuditWanted(kinds=(Kind.EXPORTED.value,), actor=mine)
        try:
            found, _ = await asyncio.to_thread(house.archive.audited, wanted, None, LISTED)
        except SQLAlchemyError as error:
            raise StoreDown("the journal cannot be read at the moment; try again") from error
        hotlines = house.config.calls.hotlines
        rows = [entry_view(one, hotlines) for one in found if not mine or one.actor == mine]
        scopes = [name for name, roles in SCOPES.items() if reader.role in roles]
        return answered({"now": house.now(), "exports": rows, "may": scopes, "full": reader.role in FULL, "rows_at_most": ROWS_AT_MOST})

    async def take(self, request: Request) -> Response:
        """{from, to, what, format, masked, reason} → a ticket, when the journal has it."""
        house, reader = self._house, reader_of(request)
        wanted = await self._wanted(request, reader)
        async with self._one:
            try:
                taken, rows, digest, is_cut = await asyncio.to_thread(self._write, wanted)
            except SQLAlchemyError as error:
                raise StoreDown("the journal cannot be read at the moment; try again") from error
        number = secrets.token_hex(6)
        facts: Json = {"since": wanted.since, "until": wanted.until, "format": wanted.format, "masked": wanted.masked, "areas": sorted(reader.areas)}
        try:
            await house.note(
                Kind.EXPORTED,
                actor_of(reader),
                what=wanted.what,
                export=number,
                **facts,
                reason=wanted.reason,
                rows=rows,
                cut=is_cut,
                sha256=digest,
                role=reader.role,
                address=reader.address,
            )
        except BaseException:
            taken.file.close()
            raise
        ticket = self._tickets.give(browser_of(request), taken)
        answer: Json = {"export": number, "ticket": ticket, "name": taken.name, "rows": rows, "bytes": taken.size, "sha256": digest, "cut": is_cut}
        return answered(answer)

    async def fetch(self, request: Request) -> Response:
        """The file, once."""
        taken = self._tickets.take(request.path_params["ticket"], browser_of(request))
        headers = {"content-disposition": f'attachment; filename="{taken.name}"', "content-length": str(taken.size)}
        return StreamingResponse(_read(taken.file), media_type=taken.type, headers=headers)

    async def _wanted(self, request: Request, reader: Reader) -> Rows:
        body = await self._body(request)
        unknown = sorted(body.keys() - {"from", "to", "what", "format", "masked", "reason"})
        if unknown:
            raise Refused("unknown_field", 400, field=unknown[0])
        what, format_, masked, reason = body.get("what"), body.get("format", "csv"), body.get("masked", True), body.get("reason")
        if not isinstance(what, str) or what not in SCOPES:
            raise Refused("bad_what", 400, allowed=sorted(SCOPES))
        if format_ not in FORMATS or not isinstance(format_, str):
            raise Refused("bad_format", 400, allowed=sorted(FORMATS))
        if not isinstance(masked, bool):
            raise Refused("bad_masked", 400)
        if not isinstance(reason, str) or not REASON[0] <= len(reason.strip()) <= REASON[1]:
            raise Refused("missing_reason", 400, least=REASON[0], most=REASON[1])
        since, until = time(body, "from"), time(body, "to")
        if since is None or until is None or since >= until:
            raise Refused("bad_period", 400)
        if until - since > LONGEST:
            raise Refused("period_too_long", 400, days=LONGEST.days)
        if reader.role not in SCOPES[what] or not (masked or (reader.role in FULL and what != "audit")):
            raise Refused("no_right", 403)
        return Rows(what=what, format=format_, since=since, until=until, masked=masked, reason=reason.strip(), reader=reader)

    def _write(self, wanted: Rows) -> tuple[Taken, int, str, bool]:
        house, folder = self._house, self._house.config.data_folder
        file = tempfile.TemporaryFile(dir=folder if folder.is_dir() else None)  # noqa: SIM115 - without a name: nobody finds it, and it ends with us
        digest, rows, is_cut = hashlib.sha256(), 0, False
        try:
            for rows, part in enumerate(written(wanted, rows_of(house, wanted))):
                if rows > ROWS_AT_MOST:
                    rows, is_cut = ROWS_AT_MOST, True
                    break
                file.write(part)
                digest.update(part)
            size = file.tell()
            file.seek(0)
        except BaseException:
            file.close()
            raise
        days = "-".join(f"{at.astimezone(CHINA):%Y%m%d}" for at in (wanted.since, wanted.until - timedelta(seconds=1)))
        name = f"12349-{wanted.what}-{days}{'' if wanted.masked else '-full'}.{wanted.format}"
        return Taken(file, name, TYPES[wanted.format], size), rows, digest.hexdigest(), is_cut


def browser_of(request: Request) -> str:
    """Which browser asks, without keeping its cookie."""
    return hashlib.sha256(request.cookies.get(cookie_name(request), "").encode()).hexdigest()


def _read(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while part := file.read(CHUNK):
            yield part
