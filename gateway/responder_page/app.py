"""The page over HTTP: nothing but signed links. Whatever else is asked for is not found, and is told nothing more.

Opening a link takes a press of a button: programs that look links up ahead (previews of messengers, virus scanners) see no personal data
and bind the link to nobody. A press binds it to the device (a cookie); answers need link, cookie and a nonce of the page.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from email.utils import formatdate
from urllib.parse import parse_qs, urlsplit

import msgspec
import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from drivers.contract import Rejected, to_event
from drivers.mqtt.station_reply import ANSWERS, MAX_NOTE, read_answer
from drivers.token_bucket import TokenBuckets
from gateway.clock import monotonic
from gateway.config import Config
from gateway.core.absence import NOTE_LIMIT, Wish
from gateway.core.family_link import key_of
from gateway.core.incident import Incident, Leg
from gateway.core.register import Contact, Person
from gateway.core.standing import Ruling
from gateway.errors import Refused, StoreDown
from gateway.event import Event, Kind
from gateway.responder_page import html
from gateway.responder_page.family_page import DAYS, family_parts, moment_of
from gateway.responder_page.links import TOKEN, Links, Reading, What, device_mark, fingerprint
from gateway.responder_page.listener import source_of
from gateway.responder_page.order_page import DECLINES, order_parts, state_of, title_of
from gateway.responder_page.seam import House
from gateway.responder_page.words import Words, language_of, words_in

log = structlog.get_logger("responder_page")

BOOKS = "replies"  # under which answers of web stations are booked: this is one more
COOKIE = "device"
BODY_LIMIT = 16 * 1024  # bytes; a note of 500 Chinese characters is 4.5 KB in a form
FIELDS_LIMIT = 8
LINK_PER_MINUTE = 60  # requests with one link; the page asks six times a minute
FAMILY_SHOWN = 5  # incidents of one elder

Count = Callable[[str], None]
"""Told what became of a request: not_found, too_many, expired, over, cover, elsewhere, opened, shown, answered, refused, store_down, bug."""


class Page:
    """The ASGI application. `desk`: the number to ring; count: for the metrics."""

    def __init__(self, house: House, config: Config, links: Links, count: Count = lambda _: None, clock: Callable[[], float] = monotonic) -> None:
        page = config.responder_page
        self._house = house
        self._links = links
        self._count = count
        self._clock = clock
        self._language = config.gateway.language
        self._desk = page.desk_phone or next(iter(config.calls.hotlines), "12349")
        url = urlsplit(page.public_url)
        self._folder = url.path.rstrip("/")
        self._secure = url.scheme == "https"
        per_s = page.per_minute / 60
        self._sources = TokenBuckets(per_s, burst=page.per_minute / 4)
        self._tokens = TokenBuckets(LINK_PER_MINUTE / 60, burst=LINK_PER_MINUTE / 2)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            response = await self._respond(Request(scope, receive))
        except ClientDisconnect:
            return
        except Exception:  # a bug of ours; the exception tells no address, and the listener goes on
            log.exception("page_bug")
            self._count("bug")
            response = self._plain(500)
        response.headers["date"] = formatdate(usegmt=True)
        for name, value in (*html.HEADERS.items(), *(html.SECURE.items() if self._secure else ())):
            response.headers[name] = value
        await response(scope, receive, send)

    def _plain(self, status: int) -> Response:
        """Nothing that would tell what is here."""
        return Response(b"", status)

    async def _respond(self, request: Request) -> Response:
        host = request.client.host if request.client is not None else ""
        if not self._sources.admits(source_of(host), self._clock()):
            self._count("too_many")
            return Response(b"", 429, headers={"retry-after": "60"})
        token = request.url.path.removeprefix("/")
        reading = self._links.read(token) if TOKEN.fullmatch(token) is not None and request.method in ("GET", "HEAD", "POST") else None
        if reading is None:
            self._count("not_found")
            return self._plain(404)
        chosen = request.query_params.get("lang", "")
        words = words_in(language_of(chosen, request.headers.get("accept-language", ""), self._language))
        if not self._tokens.admits(hashlib.sha256(token.encode()).hexdigest(), self._clock()):
            return self._page("too_many", words, "page.title_busy", [html.paragraph(words("page.busy"))], 429)
        if self._house.now() >= reading.expires:
            return self._page("expired", words, "page.title_expired", [html.paragraph(words("page.expired"))], 410)
        visit = Visit(request, reading, words, chosen if chosen == words.language else "")
        if reading.what is What.ORDER:
            return await self._order(visit)
        return await self._family(visit)

    # --- orders ------------------------------------------------------------------------------------------------------

    async def _order(self, visit: "Visit") -> Response:
        found = self._find(visit.reading)
        if found is None:
            return self._over(visit.words)
        incident, leg = found
        secret = visit.secret(self._links)
        opened_here = bool(secret) and (self._links.allow_forward or leg.opened == device_mark(secret))
        fields = await visit.fields() if visit.request.method == "POST" else {}
        if not opened_here:
            if leg.opened and not self._links.allow_forward:
                return self._elsewhere(visit.words)
            if fields.get("do") == "open":
                return await self._open_order(visit, leg, self._links.new_device(visit.reading.token))
            responder = self._house.register.responders.get(leg.responder)
            who = visit.words("cover.order", name=responder.name if responder is not None else leg.responder)
            return self._cover(visit.words, who, visit.words("cover.open"))
        if visit.request.method == "POST" and fields.get("do") != "open":
            return await self._answer(visit, incident, leg, secret, fields)
        return self._show_order(visit, incident, leg, secret) if visit.request.method != "POST" else self._again(visit)

    def _find(self, reading: Reading) -> tuple[Incident, Leg] | None:
        """The order, while it is in memory: closed incidents stay for a quarter of an hour, what comes later is over."""
        name = self._house.working.by_delivery.get(reading.delivery)
        incident = self._house.incidents.get(name) if name else None
        leg = incident.leg(reading.delivery) if incident is not None else None
        if incident is None or leg is None or fingerprint(leg.responder) != reading.fingerprint:
            return None
        return incident, leg

    async def _open_order(self, visit: "Visit", leg: Leg, secret: str) -> Response:
        mark = device_mark(secret)
        detail: dict[str, object] = {"delivery": leg.delivery, "by": leg.responder, "opened": mark, "way": "page"}
        if self._links.allow_forward:
            detail["forward"] = True
        now = self._house.now()
        event = Event(
            kind=Kind.VIEWED, line=BOOKS, device=leg.responder, received_at=now, occurred_at=now, dedup=f"page:{leg.delivery}:{mark}", detail=detail
        )
        reason = await self._book(event)
        if reason == "opened_elsewhere":
            return self._elsewhere(visit.words)
        if reason == "store_down":
            return self._store_down(visit.words)
        if reason:
            return self._over(visit.words)
        self._count("opened")
        return self._again(visit, secret)

    def _show_order(self, visit: "Visit", incident: Incident, leg: Leg, secret: str, told: str = "", status: int = 200) -> Response:
        words = visit.words
        nonce = self._links.new_nonce(secret)
        parts = order_parts(incident, leg, self._house.register, words, self._house.now(), nonce, told)
        title = title_of(incident, leg, self._house.register, words)
        return self._page(
            "shown" if status == 200 else "refused", words, "", parts, status, state=state_of(incident, leg, self._house.register), title=title
        )

    async def _answer(self, visit: "Visit", incident: Incident, leg: Leg, secret: str, fields: Mapping[str, str]) -> Response:
        """An answer goes in by the door of the stations' answers. What the core makes of it is seen when the page is read anew."""
        nonce, answer = fields.get("nonce", ""), fields.get("do", "")
        if answer not in ANSWERS or not self._links.is_nonce(secret, nonce):
            return self._show_order(visit, incident, leg, secret, visit.words("page.stale"), 409)
        reason = fields.get("reason", "") if answer == "decline" and fields.get("reason") in DECLINES else ""
        said = words_in(self._language)(f"decline.{reason}") if reason else ""  # in the language of the desk, who will read it
        note = " ".join(filter(None, (said, _storable(fields.get("note", ""))[:MAX_NOTE])))
        body = {"delivery": leg.delivery, "answer": answer, "by": leg.responder, **({"note": note} if note else {})}
        signal = read_answer(leg.responder, msgspec.json.encode(body))
        if isinstance(signal, Rejected):
            return self._show_order(visit, incident, leg, secret, visit.words("page.stale"), 409)
        detail = {**signal.detail, "way": "page", **({"reason": reason} if reason else {})}
        # one page, one answer of a kind: a second press, a repeat by the network or a replay is the same message
        signal = msgspec.structs.replace(signal, detail=detail, dedup=f"page:{leg.delivery}:{answer}:{device_mark(nonce)}")
        refused = await self._book(to_event(signal, BOOKS, self._house.now()))
        if refused == "store_down":
            found = self._find(visit.reading)
            if found is None:
                return self._over(visit.words)
            self._count("store_down")
            return self._show_order(visit, *found, secret, visit.words("page.store_down"), 503)
        self._count("refused" if refused else "answered")
        return self._again(visit)

    async def _book(self, event: Event) -> str:
        """Stored, or known already: ""; else why not."""
        verdict = (await self._house.receive([event]))[0]
        return "" if verdict.kept else verdict.reason or "refused"

    # --- family ------------------------------------------------------------------------------------------------------

    async def _family(self, visit: "Visit") -> Response:
        found = self._contact(visit.reading)
        words = visit.words
        if found is None:
            return self._page("over", words, "family.ended_title", [html.paragraph(words("family.ended"))], 410)
        person, contact, place = found
        secret = visit.secret(self._links)
        standing = self._house.working.standings.get(key_of(person.id, place))
        link = visit.reading.expires.isoformat()
        is_bound = standing is not None and standing.holds(self._house.now()) and standing.detail.get("link") == link
        opened_here = bool(secret) and (self._links.allow_forward or (is_bound and standing is not None and standing.value == device_mark(secret)))
        fields = await visit.fields() if visit.request.method == "POST" else {}
        if not opened_here:
            if is_bound and not self._links.allow_forward:
                return self._elsewhere(words)
            if fields.get("do") != "open":
                return self._cover(words, words("cover.family"), words("cover.open_family"))
            return await self._open_family(visit, person, place, link)
        if visit.request.method != "POST":
            return self._show_family(visit, person, contact, secret)
        if fields.get("do") == "open":
            return self._again(visit)
        return await self._wish(visit, person, contact, place, secret, fields)

    def _contact(self, reading: Reading) -> tuple[Person, Contact, int] | None:
        """Whose link it is, while the register has the same contact there and consent stands."""
        name, place = reading.contact
        person = self._house.register.persons.get(name)
        if person is None or not 0 <= place < len(person.contacts):
            return None
        contact = person.contacts[place]
        if not contact.consent_on or fingerprint(contact.name, contact.phone) != reading.fingerprint:
            return None
        return person, contact, place

    async def _open_family(self, visit: "Visit", person: Person, place: int, link: str) -> Response:
        secret = self._links.new_device(visit.reading.token)
        detail: dict[str, object] = {"link": link, **({"forward": True} if self._links.allow_forward else {})}
        ruling = Ruling(
            key=key_of(person.id, place),
            value=device_mark(secret),
            actor=f"contact:{person.id}:{place}",
            until=visit.reading.expires,
            detail=detail,
        )
        try:
            await self._house.rule(ruling)
        except Refused:
            return self._elsewhere(visit.words)
        except StoreDown:
            return self._store_down(visit.words)
        self._count("opened")
        return self._again(visit, secret)

    def _show_family(self, visit: "Visit", person: Person, contact: Contact, secret: str, told: str = "", status: int = 200) -> Response:
        words, house = visit.words, self._house
        watched = house.working.watch.by_person.get(person.id)
        absence = watched.state.absence if watched is not None and watched.state is not None else None
        mine = [one for one in house.incidents.values() if one.person == person.id][-FAMILY_SHOWN:]
        moments = [moment for one in mine if (moment := moment_of(one, contact.tell))]
        nonce = self._links.new_nonce(secret)
        parts = family_parts(contact, moments, watched is not None, absence, words, house.now(), nonce, told)
        state = f"{'.'.join(moments)}-{absence.since.isoformat() if absence is not None else ''}"
        return self._page("shown" if status == 200 else "refused", words, "", parts, status, state=state, title=person.name)

    async def _wish(self, visit: "Visit", person: Person, contact: Contact, place: int, secret: str, fields: Mapping[str, str]) -> Response:
        nonce, do, days, words = fields.get("nonce", ""), fields.get("do", ""), fields.get("days", ""), visit.words
        if not self._links.is_nonce(secret, nonce) or do not in ("away", "back") or (days and days not in map(str, DAYS)):
            return self._show_family(visit, person, contact, secret, words("page.stale"), 409)
        now: datetime = self._house.now()
        wish = Wish(
            person=person.id,
            actor=f"contact:{person.id}:{place}",
            over=do == "back",
            until=now + timedelta(days=int(days)) if days else None,
            by="family",
            name=contact.name[: NOTE_LIMIT // 4],
            note=_storable(fields.get("note", ""))[: NOTE_LIMIT // 2],
            key=f"page:{do}:{device_mark(nonce)}",
        )
        try:
            await self._house.absence(wish)
        except Refused as refused:
            why = words.own(f"refused.{refused.reason}") or words("refused.other")
            return self._show_family(visit, person, contact, secret, words("family.refused", reason=why), 409)
        except StoreDown:
            self._count("store_down")
            return self._show_family(visit, person, contact, secret, words("page.store_down"), 503)
        self._count("answered")
        return self._again(visit)

    # --- what is said ------------------------------------------------------------------------------------------------

    def _page(self, outcome: str, words: Words, key: str, parts: Iterable[str], status: int = 200, *, state: str = "", title: str = "") -> Response:
        self._count(outcome)
        body = html.document(words, title or words(key), parts, desk=self._desk, state=state)
        return Response(body, status, headers={"x-state": state} if state else None, media_type="text/html")

    def _cover(self, words: Words, who: str, label: str) -> Response:
        parts = [html.paragraph(who), "" if self._links.allow_forward else html.paragraph(words("cover.why")), html.button("", "open", label, "yes")]
        return self._page("cover", words, "", parts, title="12349")

    def _elsewhere(self, words: Words) -> Response:
        return self._page("elsewhere", words, "page.title_elsewhere", [html.paragraph(words("page.elsewhere"))], 403)

    def _over(self, words: Words) -> Response:
        return self._page("over", words, "page.title_over", [html.paragraph(words("page.over"))], 410)

    def _store_down(self, words: Words) -> Response:
        return self._page("store_down", words, "page.title_trouble", [html.paragraph(words("page.store_down"))], 503)

    def _again(self, visit: "Visit", secret: str = "") -> Response:
        """After a press the page is read anew, so that going back or refreshing sends nothing twice (RFC 9110, 15.4.4)."""
        token = visit.reading.token
        response = Response(b"", 303, headers={"location": f"{token}?lang={visit.chosen}" if visit.chosen else token})
        if secret:
            seconds = max(60, int((visit.reading.expires - self._house.now()).total_seconds()))
            secure = "; Secure" if self._secure else ""
            cookie = f"{COOKIE}={secret}; Path={self._folder}/{token}; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"
            response.headers["set-cookie"] = cookie
        return response


class Visit:
    """One request with a good link."""

    def __init__(self, request: Request, reading: Reading, words: Words, chosen: str) -> None:
        self.request = request
        self.reading = reading
        self.words = words
        self.chosen = chosen  # the language in the address, kept over a press

    def secret(self, links: Links) -> str:
        """The device's secret for this link, if it has one that we made."""
        given = self.request.cookies.get(COOKIE, "")
        return given if links.is_device(self.reading.token, given) else ""

    async def fields(self) -> dict[str, str]:
        """The form; {} for one that is too large or none."""
        body = b""
        async for part in self.request.stream():
            body += part
            if len(body) > BODY_LIMIT:
                return {}
        try:
            found = parse_qs(body.decode("ascii"), keep_blank_values=True, max_num_fields=FIELDS_LIMIT, encoding="utf-8", errors="replace")
        except ValueError:
            return {}
        return {name: values[0] for name, values in found.items()}


def _storable(text: str) -> str:
    """What can be kept: printable, on one line."""
    return "".join(one if one.isprintable() else " " for one in text).strip()
