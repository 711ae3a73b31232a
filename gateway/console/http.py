"""The console's HTTP face: the page, the feed, the commands, and what machines ask (metrics, health, answers of web stations)."""

import asyncio
import base64
import hashlib
import hmac
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from drivers.contract import Rejected, to_event
from drivers.mqtt.station_reply import read_answer
from gateway.clock import monotonic
from gateway.config import HotlineConfig
from gateway.console import views
from gateway.console.commands import facts_of, reveal_reason
from gateway.console.dialling import Dialling, contact_view, contacts_of, wanted
from gateway.console.idempotency import Answer, Answers
from gateway.console.live import HEARTBEAT_S, TICK_S, Feed
from gateway.console.openapi import document
from gateway.console.seam import House
from gateway.console.server import BODY_LIMIT, listen_address, serve
from gateway.console.sessions import COOKIE, LIFE_S, Session, Sessions
from gateway.console.views import Json
from gateway.core.command import Command
from gateway.core.hand_over import event_of
from gateway.core.incident import Action, Incident, State
from gateway.errors import Refused, StoreDown
from gateway.event import Kind
from gateway.metrics import own_version

__all__ = ["listen_address", "make_app", "serve"]

EXTENSION = re.compile(r"[0-9A-Za-z*#_.-]{1,16}")  # of a desk's telephone, as the exchange names it
NAME_LIMIT = 32  # characters of a name on duty
KEY_LIMIT = 64  # characters of an Idempotency-Key; ours are 32 hex digits
POLL_LIMIT_S = 20.0
SOCKETS_LIMIT = 200  # sockets and long polls together; budgeted for 50 consoles, each may have a second screen
SLOW_S = 10.0  # a reader that takes nothing for this long is cut off and comes back by number
REPLIES = "replies"  # the line under which answers of web stations are booked
OUR_NAMES = ("127.0.0.1", "localhost", "[::1]")  # under any other name it is a foreign page whose name was bent to this machine

Endpoint = Callable[[Request], Awaitable[Response]]


def make_app(
    house: House,
    *,
    static_dir: Path,
    metrics_registry: CollectorRegistry,
    count_consoles: Callable[[int], None] = lambda _: None,
    names: tuple[str, ...] = OUR_NAMES,
    clock: Callable[[], float] = monotonic,
) -> Starlette:
    """The application. `static_dir` holds index.html and what it loads; `count_consoles` is told how many are connected."""
    console = Console(house, static_dir, metrics_registry, count_consoles, clock)
    routes = [
        Route("/", console.index),
        Route("/metrics", console.metrics),
        Route("/healthz", console.health),
        Route("/readyz", console.ready),
        Route("/api/v1/openapi.json", console.openapi),
        Route("/api/v1/session", console.session),
        Route("/api/v1/duty", console.duty, methods=["POST"]),
        Route("/api/v1/changes", console.changes),
        WebSocketRoute("/api/v1/feed", console.feed_socket),
        Route("/api/v1/lines", console.lines),
        Route("/api/v1/call-backs", console.call_backs),
        Route("/api/v1/hand-overs", console.hand_overs, methods=["POST"]),
        Route("/api/v1/incidents/{id}", console.incident),
        Route("/api/v1/incidents/{id}/reveal", console.reveal, methods=["POST"]),
        Route("/api/v1/incidents/{id}/dial", console.dial, methods=["POST"]),
        Route("/api/v1/calls/{key}/hang_up", console.hang_up, methods=["POST"]),
        Route("/api/v1/calls/{key}/transfer", console.transfer, methods=["POST"]),
        Route("/api/v1/incidents/{id}/{action}", console.command, methods=["POST"]),
        Route("/api/v1/replies", console.replies, methods=["POST"]),
        Mount("/static", StaticFiles(directory=static_dir, check_dir=False), name="static"),
    ]
    errors = {Refused: _refused, StoreDown: _store_down, 404: _not_found, 405: _not_allowed, Exception: _broken}
    app = Starlette(routes=routes, middleware=[Middleware(Shield, policy=console.policy, names=names)], exception_handlers=errors)  # type: ignore[arg-type]
    app.state.console = console
    return app


class Console:
    """The routes, over one house."""

    def __init__(
        self, house: House, static_dir: Path, registry: CollectorRegistry, count_consoles: Callable[[int], None], clock: Callable[[], float]
    ) -> None:
        self.house = house
        self.sessions = Sessions(clock)
        self.feed = Feed(house, self.sessions.operators)
        self.dialling = Dialling(house)
        self._static = static_dir
        self._registry = registry
        self._count_consoles = count_consoles
        self._answers = Answers(clock)
        self._sockets = 0
        self.policy = content_policy(self._page())

    def _page(self) -> str:
        index = self._static / "index.html"
        return index.read_text(encoding="utf-8") if index.is_file() else ""

    def index(self, _: Request) -> Response:
        """The page. (Not async: it reads a file, Starlette gives it a thread.)"""
        page = self._page()
        if not page:
            raise Refused("no_page", 404)
        return Response(page, media_type="text/html", headers={"content-security-policy": content_policy(page)})

    async def metrics(self, request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(self._registry), headers={"content-type": content_type})

    async def health(self, _: Request) -> Response:
        """Served by the pipeline's own loop: a pipeline that has crashed ends the house, and nobody answers."""
        return Response("ok", media_type="text/plain")

    async def ready(self, _: Request) -> Response:
        """503 with reasons while a mandatory line is not live or nothing can be written."""
        reasons: list[Json] = []
        for name, status in self.house.lines.items():
            if status.mandatory and status.state != "live":
                reasons.append({"reason": "line_not_live", "line": name, "state": status.state})
        if self._registry.get_sample_value("gateway_store_down"):
            reasons.append({"reason": "store_down"})
        return _json({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)

    async def openapi(self, _: Request) -> Response:
        return _json(document())

    async def session(self, request: Request) -> Response:
        """Who I am; opens a session when there is none."""
        session = self._session(request) or self.sessions.open()
        response = _json(self._session_view(session))
        response.set_cookie(COOKIE, session.token, max_age=int(LIFE_S), httponly=True, samesite="strict")
        return response

    async def duty(self, request: Request) -> Response:
        """上岗 and 离岗. The name is what was typed: unverified until there are accounts."""
        session = self._own_page(request)
        body = await _body(request)
        name, extension = body.get("name"), body.get("extension", session.extension)
        if name is not None and not (isinstance(name, str) and 1 <= len(name.strip()) <= NAME_LIMIT and name.strip().isprintable()):
            raise Refused("bad_name", 400, limit=NAME_LIMIT)
        if extension is not None and not (isinstance(extension, str) and EXTENSION.fullmatch(extension)):
            raise Refused("bad_extension", 400)
        name = None if name is None else name.strip()
        who = name or session.name
        if who is not None and name != session.name:
            await self.house.note(Kind.NOTE, who, duty=name is not None, verified=False)
        session.name = name
        self.sessions.sit_at(session, extension if name is not None else None)
        return _json(self._session_view(session))

    async def changes(self, request: Request) -> Response:
        """Everything since a number, at once or (wait=seconds) as soon as there is something."""
        self._session(request)
        since, epoch = _since(request)
        wait_s = min(POLL_LIMIT_S, _number(request, "wait"))
        self.feed.refresh()
        if wait_s > 0 and self.feed.is_current(since, epoch):
            self._enter()
            try:
                with self.feed:
                    await self.feed.wait(since, epoch, wait_s)
            finally:
                self._leave()
        return _raw(self.feed.frame(since, epoch))

    async def feed_socket(self, socket: WebSocket) -> None:
        """The same frames as they come. The connection's whole state is one number: a slow reader makes nothing grow."""
        await socket.accept()
        if not _is_own_origin(socket):
            return await socket.close(4403)
        try:
            since, epoch = _since(socket)
            self._enter()
        except Refused:
            return await socket.close(1013)
        listening = asyncio.create_task(self._listen(socket), name="console-socket")
        sending = asyncio.create_task(self._send(socket, since, epoch), name="console-feed-out")
        try:
            with self.feed:
                await asyncio.wait((listening, sending), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._leave()
            listening.cancel()
            sending.cancel()
            await asyncio.gather(listening, sending, return_exceptions=True)

    async def _send(self, socket: WebSocket, since: int, epoch: str) -> None:
        feed = self.feed
        frame = feed.frame(since, epoch)
        while True:
            since, epoch = feed.rev, feed.epoch
            self._session(socket)  # an open socket is presence
            try:
                async with asyncio.timeout(SLOW_S):
                    await socket.send_text(frame.decode())
            except TimeoutError:
                async with asyncio.timeout(TICK_S):  # most likely in vain: the pipe is full
                    await socket.close(4408)
                return
            await asyncio.sleep(TICK_S)
            frame = feed.frame(since, epoch) if await feed.wait(since, epoch, HEARTBEAT_S - TICK_S) else feed.heartbeat()

    async def _listen(self, socket: WebSocket) -> None:
        """Up the socket come only signs of presence; any message counts as one."""
        while True:
            try:
                message = msgspec.json.decode(await socket.receive_text(), type=dict[str, object])
            except (WebSocketDisconnect, KeyError):
                return
            except msgspec.DecodeError:
                continue
            session = self._session(socket)
            if session is not None and message.get("ears") is True:
                self.sessions.hear_sound(session)

    async def lines(self, _: Request) -> Response:
        return _json({"lines": self._lines()})

    async def call_backs(self, _: Request) -> Response:
        """Whoever waits to be called back, in order."""
        house = self.house
        return _json({"call_backs": views.call_back_list(house.register, house.incidents.values(), house.now())})

    async def incident(self, request: Request) -> Response:
        """All of one incident, as far as this reader may see it."""
        house = self.house
        await house.recall(request.path_params["id"])
        incident = house.incidents.get(request.path_params["id"])
        if incident is None:
            raise Refused("unknown_incident", 404)
        rows = await house.timeline(incident.id)
        incident = house.incidents.get(incident.id, incident)
        session = self._session(request)
        decision = house.candidates(incident) if incident.state is not State.CLOSED else None
        reader = session.name if session is not None and await self._is_on_record(session, incident) else None
        hotlines = house.config.calls.hotlines
        detail = views.incident_detail(house.register, incident, rows, decision, reader, house.now(), hotlines)
        may_dial = house.telephone.is_there and views.is_entitled(incident, reader)
        detail["dial"] = [contact_view(one) for one in contacts_of(house.register, incident)] if may_dial else []
        detail["dialling"] = self.dialling.under_way(incident.id)
        return _json(detail)

    async def _is_on_record(self, session: Session, incident: Incident) -> bool:
        """An owner who opens a person's record is journalled first, once a session. If that cannot be written he sees the masked form."""
        seen = f"{incident.id} {incident.person or ''}"  # identified as somebody else, it is another record
        if session.name is None or incident.owner != session.name or seen in session.viewed:
            return True
        try:
            await self.house.note(Kind.VIEWED, session.name, incident=incident.id, person=incident.person)
        except StoreDown:
            return False
        session.viewed.add(seen)
        return True

    async def reveal(self, request: Request) -> Response:
        """Full telephone numbers for the one in charge, who says why. The journal has it before he has: if it cannot be written, nothing is shown."""
        session = self._own_page(request)
        if session.name is None:
            raise Refused("not_on_duty", 403)
        body = await _body(request)
        house = self.house
        await house.recall(request.path_params["id"])
        incident = house.incidents.get(request.path_params["id"])
        if incident is None:
            raise Refused("unknown_incident", 404)
        reason = reveal_reason(body)
        if not views.is_entitled(incident, session.name):
            raise Refused("not_owner", 403)
        await house.note(Kind.REVEAL, session.name, incident=incident.id, person=incident.person, field="phones", reason=reason)
        return _json(views.full_numbers(house.register, incident))  # of the person that the journal names, whatever happened meanwhile

    async def dial(self, request: Request) -> Response:
        """Ring somebody about an incident, by reference: 202 once the wish is on disk; what comes of it is a change of the incident."""
        session, name = self._on_duty(request)
        fields = wanted(await _body(request), ("contact",), ("extension",))
        house = self.house
        await house.recall(request.path_params["id"])
        incident = house.incidents.get(request.path_params["id"])
        if incident is None:
            raise Refused("unknown_incident", 404)
        if not views.is_entitled(incident, name):
            raise Refused("not_owner", 403)
        extension = fields.get("extension") or session.extension
        if extension is None:
            raise Refused("missing_extension", 400)
        if not EXTENSION.fullmatch(extension):
            raise Refused("bad_extension", 400)
        return await self._once(request, name, lambda: self.dialling.dial(name, extension, incident, fields["contact"]), 202)

    async def hang_up(self, request: Request) -> Response:
        """End a call of one's own, or what one has dialled."""
        session, name = self._on_duty(request)
        wanted(await _body(request), ())
        key = request.path_params["key"]
        return await self._once(request, name, lambda: self.dialling.hang_up(name, session.extension, key))

    async def transfer(self, request: Request) -> Response:
        """Send the caller on to another agent's extension."""
        session, name = self._on_duty(request)
        to = wanted(await _body(request), ("to",))["to"]
        key = request.path_params["key"]
        return await self._once(request, name, lambda: self.dialling.transfer(name, session.extension, key, to))

    def _on_duty(self, request: Request) -> tuple[Session, str]:
        session = self._own_page(request)
        if session.name is None:
            raise Refused("not_on_duty", 403)
        return session, session.name

    async def _once(self, request: Request, name: str, do: Callable[[], Awaitable[Json]], status: int = 200) -> Response:
        """Do it, or give the first answer again to who asks with the same Idempotency-Key."""
        key = _idempotency_key(request)

        async def work() -> Answer:
            try:
                return Answer(status, msgspec.json.encode(await do()))
            except Refused as refused:
                return Answer(refused.status, msgspec.json.encode({"reason": refused.reason, **refused.facts}))
            except StoreDown:
                return Answer(503, msgspec.json.encode({"reason": "store_down"}))

        answer = await (work() if key is None else self._answers.once(f"{name}|{request.url.path}|{key}", work))
        return _raw(answer.body, answer.status)

    async def command(self, request: Request) -> Response:
        """Do something about an incident; answers when it is on disk."""
        session = self._own_page(request)
        name = session.name
        if name is None:
            raise Refused("not_on_duty", 403)
        try:
            action = Action(request.path_params["action"])
            body = await _body(request)
            expected = body.pop("state", None), body.pop("version", None)
            facts = facts_of(action, body)
        except (ValueError, KeyError):
            raise Refused("unknown_action", 404) from None
        expected = expected[0], expected[1] or request.headers.get("if-match", "").strip('W/"') or None
        key = _idempotency_key(request)
        incident = request.path_params["id"]
        if key is not None:  # one operator's, for one command: nobody else's can be swallowed by it, in memory or in the journal
            key = f"{name}|{incident}|{action}|{key}"
        command = Command(action=action, actor=name, incident=incident, facts=facts, key=key)

        async def work() -> Answer:
            return await self._do(command, *expected)

        answer = await (work() if key is None else self._answers.once(key, work))
        return _raw(answer.body, answer.status)

    async def _do(self, command: Command, state: object, version: object) -> Answer:
        house = self.house
        try:
            await house.recall(command.incident)
            self._check_expected(command, state, version)
            incident = await house.command(command)
        except Refused as refused:
            known = house.incidents.get(command.incident)
            row = {"incident": views.incident_row(house.register, known, house.now())} if known else {}
            return Answer(refused.status, msgspec.json.encode({"reason": refused.reason, **refused.facts, **row}))
        except StoreDown:
            return Answer(503, msgspec.json.encode({"reason": "store_down"}))
        incident = incident or house.incidents[command.incident]
        return Answer(200, msgspec.json.encode({"incident": views.incident_row(house.register, incident, house.now())}))

    def _check_expected(self, command: Command, state: object, version: object) -> None:
        """The page may say what it has seen. An acknowledgement is left to the core, which knows the winner."""
        incident = self.house.incidents.get(command.incident)
        if incident is None:
            raise Refused("unknown_incident", 404)
        if command.action is Action.ACKNOWLEDGE:
            return
        if state is not None and state != incident.state:
            raise Refused("state_changed", state=incident.state)
        if version is not None and str(version) != str(incident.version):
            raise Refused("version_changed", version=incident.version)

    async def replies(self, request: Request) -> Response:
        """The answer of a web station: signed with the shared secret, taken by the same door as one over MQTT."""
        body = await _read(request)
        if not self._is_signed(body, request.headers.get("x-signature", "")):
            raise Refused("bad_signature", 401)
        try:
            delivery = msgspec.json.decode(body, type=Reply).delivery
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise Refused("bad_json", 400) from None
        house = self.house
        leg = next((leg for incident in house.incidents.values() for leg in incident.legs if leg.delivery == delivery), None)
        if leg is None:
            raise Refused("unknown_delivery", 404)
        answer = read_answer(leg.responder, body)
        if isinstance(answer, Rejected):
            await house.receive([msgspec.structs.replace(answer, line=REPLIES)])
            raise Refused(answer.reason, 400)
        event = msgspec.structs.replace(to_event(answer, REPLIES, house.now()), integrity="verified")
        (verdict,) = await house.receive([event])
        if verdict.kept:
            return _json({"outcome": verdict.outcome})
        return _json({"reason": verdict.reason}, 503 if verdict.retry else 409)

    async def hand_overs(self, request: Request) -> Response:
        """The record of a matter from another hotline, signed with the secret shared with it. The answer says its number here."""
        body = await _read(request)
        signature = request.headers.get("x-signature", "")
        house = self.house
        known = [one for one in house.config.hotline if one.secret_file and self._is_signed_with(one.secret_file, body, signature)]
        if not known:
            raise Refused("bad_signature", 401)
        event = event_of(body, known[0].number, house.now())
        (verdict,) = await house.receive([event])
        if not verdict.kept:
            return _json({"reason": verdict.reason}, 503 if verdict.retry else 409)
        tracking = str(event.detail["tracking"])
        mine = max((one for one in house.incidents.values() if one.tracking == tracking), key=lambda one: (one.is_open, one.opened_at), default=None)
        return _json({"tracking": tracking, "incident": mine and mine.id, "outcome": "accepted" if verdict.outcome == "stored" else "known"})

    def _is_signed(self, body: bytes, signature: str) -> bool:
        webhook = self.house.config.dispatch.webhook
        return webhook is not None and self._is_signed_with(webhook.secret_file, body, signature)

    def _is_signed_with(self, secret_file: str, body: bytes, signature: str) -> bool:
        try:
            secret = (self.house.config.folder / secret_file).read_bytes().strip()
        except OSError:
            return False
        wanted = "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
        return bool(secret) and hmac.compare_digest(signature.encode(), wanted.encode())

    def _session(self, connection: HTTPConnection) -> Session | None:
        return self.sessions.find(connection.cookies.get(COOKIE))

    def _own_page(self, request: Request) -> Session:
        """The session of a request that changes something, proved to come from our own page."""
        if not _is_own_origin(request):
            raise Refused("origin", 403)
        session = self._session(request)
        if session is None or not session.allows(request.headers.get("x-csrf", "")):
            raise Refused("csrf", 403)
        return session

    def _session_view(self, session: Session) -> Json:
        register = self.house.register
        known = {one.number: one for one in self.house.config.hotline}
        hotlines = [known.get(number, HotlineConfig(number=number)) for number in self.house.config.calls.hotlines]
        return {
            "name": session.name,
            "extension": session.extension,
            "telephone": self.house.telephone.is_there,
            "hotlines": [{"number": one.number, "name": one.name, "supplementary": one.supplementary} for one in hotlines],
            "verified": False,
            "csrf": session.csrf,
            "district": {"id": register.district, "name": register.name, "name_en": register.district.replace("-", " ").title()},
            "now": self.house.now(),
            "language": "zh-CN",
            "version": own_version(),
            "lines": self._lines(),
        }

    def _lines(self) -> list[Json]:
        return [views.line_item(name, status) for name, status in self.house.lines.items()]

    def _enter(self) -> None:
        if self._sockets >= SOCKETS_LIMIT:
            raise Refused("too_many_consoles", 503, limit=SOCKETS_LIMIT)
        self._sockets += 1
        self._count_consoles(self._sockets)

    def _leave(self) -> None:
        self._sockets -= 1
        self._count_consoles(self._sockets)


class Reply(msgspec.Struct, frozen=True):
    """As much of an answer as says whose it is; the rest is read as on MQTT."""

    delivery: str


class Shield:
    """Around everything: our own names only, the content policy, nothing kept in caches."""

    def __init__(self, app: ASGIApp, policy: str, names: tuple[str, ...]) -> None:
        self._app = app
        self._names = names
        self._headers = {
            "content-security-policy": policy,
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "cross-origin-resource-policy": "same-origin",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        host = HTTPConnection(scope).headers.get("host", "")
        if re.sub(r":\d+$", "", host) not in self._names:
            if scope["type"] == "websocket":
                await WebSocket(scope, receive, send).close(4403)
            else:
                await _json({"reason": "host"}, 403)(scope, receive, send)
            return
        caching = "no-cache" if scope["path"].startswith("/static/") else "no-store"

        async def send_shielded(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name for name, _ in message["headers"]}
                ours = {**self._headers, "cache-control": caching}
                message["headers"] = [*message["headers"], *((n.encode(), v.encode()) for n, v in ours.items() if n.encode() not in present)]
            await send(message)

        await self._app(scope, receive, send_shielded)


IMPORT_MAP = re.compile(r'<script type="importmap">(.*?)</script>', re.DOTALL)


def content_policy(page: str) -> str:
    """The Content-Security-Policy (console design, 8). The import map is the only inline script, allowed by its hash."""
    found = IMPORT_MAP.search(page)
    inline = ""
    if found is not None:
        digest = hashlib.sha256(found[1].encode()).digest()
        inline = f" 'sha256-{base64.b64encode(digest).decode()}'"
    return (
        f"default-src 'none'; script-src 'self'{inline}; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


def _is_own_origin(connection: HTTPConnection) -> bool:
    """A browser says from which page it comes; a script says nothing and has no cookie to misuse."""
    origin = connection.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == connection.headers.get("host")


def _number(connection: HTTPConnection, name: str) -> int:
    text = connection.query_params.get(name) or "0"
    if not (text.isascii() and text.isdecimal() and len(text) <= 15):
        raise Refused(f"bad_{name}", 400)
    return int(text)


def _since(connection: HTTPConnection) -> tuple[int, str]:
    return _number(connection, "since"), connection.query_params.get("epoch", "")


async def _read(request: Request) -> bytes:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > BODY_LIMIT:
            raise Refused("body_too_large", 413, limit=BODY_LIMIT)
    return body


async def _body(request: Request) -> dict[str, object]:
    try:
        return msgspec.json.decode(await _read(request) or b"{}", type=dict[str, object])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise Refused("bad_json", 400) from None


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not (0 < len(key) <= KEY_LIMIT and key.isascii()):
        raise Refused("bad_idempotency_key", 400, limit=KEY_LIMIT)
    return key


def _raw(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type="application/json")


def _json(value: object, status: int = 200) -> Response:
    return _raw(msgspec.json.encode(value), status)


async def _refused(_: Request, error: Refused) -> Response:
    return _json({"reason": error.reason, **error.facts}, error.status)


async def _store_down(_: Request, _error: StoreDown) -> Response:
    return _json({"reason": "store_down"}, 503)


async def _broken(_: Request, _error: Exception) -> Response:
    return _json({"reason": "internal"}, 500)  # the server logs it


async def _not_found(_: Request, _error: Exception) -> Response:
    return _json({"reason": "not_found"}, 404)


async def _not_allowed(_: Request, _error: Exception) -> Response:
    return _json({"reason": "method_not_allowed"}, 405)
