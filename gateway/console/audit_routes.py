"""Who saw and did what, over HTTP: the log for the auditor, and the proof that nobody has changed it. That the log was read is in the log, too."""

import asyncio
import contextlib
import threading
from collections.abc import Iterable
from datetime import datetime

import msgspec
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.clock import from_micros
from gateway.console.asking import Body, answered, time
from gateway.console.guard import reader_of
from gateway.console.reader import Reader
from gateway.console.seam import House
from gateway.console.views import Json, mask_numbers, timeline_entry
from gateway.errors import Refused, StoreDown
from gateway.event import Kind
from gateway.store.audit import AUDITED, AuditWanted
from gateway.store.reports import Entry

PAGE = 100  # entries of one answer, 40 KB
PIECES = 50  # of 2000 entries looked at for one answer, about a second; then the reader goes on
WORD = 64  # characters of a name or an id
FIELDS = frozenset(("kinds", "actor", "about", "since", "until", "after"))
SHOWN = ("incident", "person", "key", "login", "call", "value", "subject", "platform")  # facts that say what was acted upon, in this order


class AuditRow(msgspec.Struct, frozen=True):
    """An entry as the views read it."""

    seq: int
    at: datetime
    kind: str
    phase: str
    actor: str | None
    facts: dict[str, object]


class Proof(msgspec.Struct):
    """The last walk over the chain, or the one under way. proven of `total` entries; broken: the first that does not fit."""

    began: datetime
    by: str
    total: int = 0
    proven: int = 0
    ended: datetime | None = None
    broken_at: int | None = None
    reason: str = ""
    failed: bool = False


class AuditRoutes:
    """The log and its proof."""

    def __init__(self, house: House, body: Body) -> None:
        self._house = house
        self._body = body
        self._proof: Proof | None = None
        self._proving: asyncio.Task[None] | None = None

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/api/v1/audit", self.newest),
            Route("/api/v1/audit", self.some, methods=["POST"]),
            Route("/api/v1/audit/verify", self.proof),
            Route("/api/v1/audit/verify", self.verify, methods=["POST"]),
        ]

    async def newest(self, request: Request) -> Response:
        """The newest entries of all kinds."""
        return await self._answer(request, AuditWanted(), None, ())

    async def some(self, request: Request) -> Response:
        """{kinds, actor, about, since, until}; about: an incident, a person's id, an account. `after`: where the page before ended."""
        body = await self._body(request)
        unknown = sorted(body.keys() - FIELDS)
        if unknown:
            raise Refused("unknown_field", 400, field=unknown[0])
        kinds = body.get("kinds") or []
        allowed = {kind.value for kind in AUDITED}
        if not isinstance(kinds, list) or not all(isinstance(one, str) and one in allowed for one in kinds):
            raise Refused("bad_kinds", 400, allowed=sorted(allowed))
        after = body.get("after")
        if after is not None and (isinstance(after, bool) or not isinstance(after, int) or not 0 < after < 10**15):
            raise Refused("bad_after", 400)
        wanted = AuditWanted(
            kinds=tuple(kinds), actor=_word(body, "actor"), about=_word(body, "about"), since=time(body, "since"), until=time(body, "until")
        )
        used = [name for name in ("kinds", "actor", "about", "since", "until") if body.get(name)]
        return await self._answer(request, wanted, after, used)

    async def _answer(self, request: Request, wanted: AuditWanted, after: int | None, used: Iterable[str]) -> Response:
        house, reader = self._house, reader_of(request)
        try:
            entries, following = await asyncio.to_thread(self._look, wanted, after)
        except SQLAlchemyError as error:
            raise StoreDown("the journal cannot be read at the moment; try again") from error
        facts: Json = {"fields": sorted(used), "count": len(entries), "further": after is not None}
        await house.note(Kind.SEARCHED, actor_of(reader), what="audit", **facts, role=reader.role, address=reader.address)
        hotlines = house.config.calls.hotlines
        return answered({"now": house.now(), "entries": [entry_view(one, hotlines) for one in entries], "after": following})

    def _look(self, wanted: AuditWanted, after: int | None) -> tuple[list[Entry], int | None]:
        archive, found = self._house.archive, list[Entry]()
        for _ in range(PIECES):
            more, after = archive.audited(wanted, after, PAGE - len(found))
            found += more
            if after is None or len(found) >= PAGE:
                break
        return found, after

    async def proof(self, _: Request) -> Response:
        """How far the walk over the chain is, or what the last one found."""
        return answered({"now": self._house.now(), "proof": self._proof})

    async def verify(self, request: Request) -> Response:
        """Walk the whole chain, in a thread, one walk at a time; asked meanwhile, the one under way is told of."""
        if self._proving is None or self._proving.done():
            reader = reader_of(request)
            proof = self._proof = Proof(began=self._house.now(), by=actor_of(reader))
            self._proving = asyncio.create_task(self._prove(proof, reader), name="console-audit-proof")
        return answered({"now": self._house.now(), "proof": self._proof})

    async def _prove(self, proof: Proof, reader: Reader) -> None:
        house, ended = self._house, threading.Event()

        def told(count: int) -> bool:
            proof.proven = count
            return not ended.wait(0.002)  # a breath for the loop: a proof has time, an alarm has none

        def walk() -> None:
            newest, _ = house.archive.audited(AuditWanted(), None, 1)
            proof.total = newest[0].seq if newest else 0  # about: the last entry of a person
            proof.proven, broken = house.archive.prove(told)
            proof.total = max(proof.total, proof.proven)
            proof.broken_at, proof.reason = (broken.seq, broken.reason) if broken is not None else (None, "")

        try:
            await asyncio.to_thread(walk)
        except SQLAlchemyError:
            proof.failed = True
        finally:
            ended.set()
            proof.ended = house.now()
        with contextlib.suppress(StoreDown):
            facts: Json = {"proven": proof.proven, "broken_at": proof.broken_at, "reason": proof.reason, "failed": proof.failed}
            await house.note(Kind.AUDIT, proof.by, what="chain", **facts, role=reader.role, address=reader.address)


def actor_of(reader: Reader) -> str:
    """Whom the journal names: who logged in, or came on duty; else what they are."""
    return reader.name or reader.role.value


def entry_view(one: Entry, hotlines: Iterable[str]) -> Json:
    """An entry as the auditor reads it: numbers masked, persons by their ids."""
    facts = facts_of(one)
    shown = timeline_entry(AuditRow(one.seq, from_micros(one.at), one.kind, one.phase, one.actor, facts), False, hotlines)
    detail = shown.pop("detail")
    assert isinstance(detail, dict)
    is_erased = "erased" in detail
    if isinstance(facts.get("what"), str) and one.kind != Kind.NOTE:  # a word of ours here; in a note it would be what somebody has told
        detail["what"] = facts["what"]
    about = [f"{name}:{detail[name]}" if name in ("person", "call") else str(detail[name]) for name in SHOWN if detail.get(name)]
    about += [name for name in (one.incident, one.person) if name and name not in about]
    return {
        **shown,
        "role": detail.pop("role", None),
        "address": detail.pop("address", None),
        "what": detail.get("what"),
        "object": " ".join(dict.fromkeys(about)),
        "field": detail.get("field") or ", ".join(str(name) for name in detail.get("fields") or ()),
        "reason": mask_numbers(str(detail["reason"]), hotlines) if detail.get("reason") else None,
        "result": next((detail[name] for name in ("result", "outcome", "count", "rows") if detail.get(name) is not None), None),
        "erased": is_erased,
        "detail": {} if is_erased else detail,
    }


def facts_of(one: Entry) -> dict[str, object]:
    """What an entry says; {} when nobody can read it any more."""
    try:
        return msgspec.json.decode(one.facts, type=dict[str, object])
    except msgspec.MsgspecError:
        return {}


def _word(body: dict[str, object], name: str) -> str:
    value = body.get(name) or ""
    if not isinstance(value, str) or len(value) > WORD or not value.isprintable():
        raise Refused(f"bad_{name}", 400)
    return value.strip()
