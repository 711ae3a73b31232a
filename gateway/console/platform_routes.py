"""What other platforms and apps ask of us: file a matter, hear what became of it, say who of theirs is who of ours. Signed, never by a session.

They live on the console's listener, which is loopback only until there are accounts: a reverse proxy with TLS passes on /api/v1/platforms/ and
nothing else (docs/guide/upward.md).
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from drivers.contract import Rejected
from drivers.token_bucket import Bucket
from gateway.config import MIN_SECRET
from gateway.config.upward import FILED, PlatformConfig
from gateway.console.asking import answered
from gateway.console.seam import House
from gateway.core.incident import Incident
from gateway.core.phone_hashes import PhoneHashes
from gateway.core.platforms import ID, LINE, PERSON, Filing, Who, event_of, read_filing, status_of
from gateway.core.standing import Ruling
from gateway.errors import Refused
from gateway.event import Kind
from gateway.secrets import read_secret
from gateway.signature import is_fresh, is_signed, timed

log = structlog.get_logger("platforms")

Read = Callable[[Request], Awaitable[bytes]]

EXTERNAL = re.compile(ID)
UNSIGNED_PER_S, UNSIGNED_BURST = 1.0, 60.0  # of what nobody signed so many are kept for inspection; all are refused


class Mapped(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which of our persons one of theirs is; an empty `person` forgets it."""

    person: Who = Who()


class PlatformRoutes:
    """read gives a request's body, bounded. One index of numbers a platform, made when it is first asked for."""

    def __init__(self, house: House, read: Read, clock: Callable[[], float]) -> None:
        self._house = house
        self._read = read
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}
        self._unsigned = Bucket(UNSIGNED_PER_S, UNSIGNED_BURST)
        self._hashes: dict[str, tuple[str, PhoneHashes]] = {}
        self._hashing = asyncio.Lock()

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/api/v1/platforms/{platform}/incidents", self.file, methods=["POST"]),
            Route("/api/v1/platforms/{platform}/incidents/{external}", self.status),
            Route("/api/v1/platforms/{platform}/persons/{external}", self.person, methods=["PUT"]),
        ]

    async def file(self, request: Request) -> Response:
        """Take a matter; answered when it is on disk. The same again gets the same incident."""
        body = await self._read(request)
        platform, secret = await self._signed(request, body, body)
        house = self._house
        try:
            filing = read_filing(body)
            self._check(platform, filing)
            phones = await self._phones(platform, secret, filing)
            event = event_of(filing, body, platform.name, house.register, house.standings, phones, house.now())
        except Refused as refused:
            if refused.status == 400:  # signed by somebody we know: kept, so that it can be looked at
                await house.receive([Rejected(reason=refused.reason, raw=body, line=LINE, device=platform.name)])
            raise
        (verdict,) = await house.receive([event])
        if not verdict.kept:
            return answered({"reason": verdict.reason}, 503 if verdict.retry else 409)
        found = await self._find(platform.name, filing.id)
        known = {"id": filing.id, "filed": "known" if verdict.outcome == "duplicate" else "stored"}
        return answered(known | (_view(found) if found is not None else {}), 200 if verdict.outcome == "duplicate" else 201)

    async def status(self, request: Request) -> Response:
        """What became of it: least data, nothing about the person."""
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        platform, _ = await self._signed(request, f"GET {target}".encode(), b"")
        external = request.path_params["external"]
        found = await self._find(platform.name, external)
        if found is None:
            raise Refused("unknown_incident", 404)
        return answered({"id": external} | _view(found))

    async def person(self, request: Request) -> Response:
        """One of their persons is one of ours: what they file about "external" then finds its person. On record, as everything that people rule."""
        body = await self._read(request)
        platform, secret = await self._signed(request, f"PUT {request.url.path}\n".encode() + body, body)
        try:
            who = msgspec.json.decode(body, type=Mapped).person
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise Refused("bad_record", 400) from None
        register = self._house.register
        person = who.register
        if not person and (who.phone or who.phone_hmac):
            phones = await self._phones(platform, secret, Filing(id="x", kind="sos", person=who))
            several = register.persons_with_phone(who.phone or phones(who.phone_hmac))
            if len(several) != 1:
                raise Refused("unknown_person" if not several else "several_persons", 404)
            person = several[0].id
        external = request.path_params["external"]
        if not EXTERNAL.fullmatch(external):
            raise Refused("bad_id", 400)
        await self._house.rule(Ruling(key=f"{PERSON}:{platform.name}:{external}", value=person, actor=platform.name))
        return answered({"id": external, "known": bool(person)})

    async def _signed(self, request: Request, content: bytes, body: bytes) -> tuple[PlatformConfig, bytes]:
        """Who it is. An unknown platform hears the same as a wrong signature. Raises Refused 401: bad_signature, stale."""
        name = request.path_params["platform"]
        house = self._house
        platform = next((one for one in house.config.platform if one.name == name), None)
        timestamp = request.headers.get("x-timestamp", "")
        secret = b""
        if platform is not None:
            try:
                secret = read_secret(house.config.folder / platform.secret_file, MIN_SECRET)
            except ValueError:
                log.error("the secret of a platform cannot be read", platform=platform.name)
        if platform is None or not is_signed(secret, timed(timestamp, content), request.headers.get("x-signature", "")):
            if self._unsigned.level(self._clock()) >= 1:
                self._unsigned.charge(1, self._clock())
                await house.receive([Rejected(reason="bad_signature", raw=body, line=LINE, device=name[:64])])
            raise Refused("bad_signature", 401)
        if not is_fresh(timestamp, house.now().timestamp()):
            await house.receive([Rejected(reason="stale", raw=body, line=LINE, device=name)])
            raise Refused("stale", 401, now=int(house.now().timestamp()))
        return platform, secret

    def _check(self, platform: PlatformConfig, filing: Filing) -> None:
        """May it file this, and so many? Alarms are never turned away for their number (service levels, rule 6)."""
        if filing.kind not in FILED:
            raise Refused("unknown_kind", 400, allowed=sorted(FILED))
        if platform.kinds and filing.kind not in platform.kinds:
            raise Refused("kind_not_allowed", 400, allowed=platform.kinds)
        if filing.kind != Kind.SERVICE_REQUEST:
            return
        bucket = self._buckets.setdefault(platform.name, Bucket(platform.per_minute / 60, max(1.0, platform.per_minute)))
        if bucket.level(self._clock()) < 1:
            raise Refused("too_many", 429, retry_s=round(60 / platform.per_minute, 1))
        bucket.charge(1, self._clock())

    async def _phones(self, platform: PlatformConfig, secret: bytes, filing: Filing) -> Callable[[str], str | None]:
        """Who has a number whose HMAC is told; the index is made when there is such a question."""
        if not filing.person.phone_hmac:
            return lambda _: None
        register = self._house.register
        async with self._hashing:
            version, hashes = self._hashes.get(platform.name, ("", None))
            if hashes is None or version != register.version:
                numbers = (phone for person in register.persons.values() for phone in person.phones)
                hashes = await asyncio.to_thread(PhoneHashes, secret, numbers)
                self._hashes[platform.name] = register.version, hashes
        return hashes.number_of

    async def _find(self, platform: str, external: str) -> Incident | None:
        """The incident that has this id: an open one first, else the newest that had it."""
        house = self._house
        working = house.working
        names = working.by_alias.get(f"external:{platform}:{external}", ())
        mine = [working.incidents[name] for name in names if name in working.incidents]
        if mine:
            return max(mine, key=lambda one: one.opened_at)
        name = await house.incident_filed(platform, external)
        if name is None:
            return None
        await house.recall(name)
        return house.incidents.get(name)


def _view(incident: Incident) -> dict[str, Any]:
    view = {
        "incident": incident.id,
        "kind": incident.kind,
        "state": incident.state,
        "status": status_of(incident),
        "received_at": incident.opened_at,
        "changed_at": incident.changed_at,
        "outcome": incident.outcome,
        "merged_into": incident.merged_into,
        "sources": len(incident.sources),
    }
    return {name: value for name, value in view.items() if value is not None}
