"""The console's HTTP face: the page, the feed, the commands, and what machines ask (metrics, health, answers of web stations)."""

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

from gateway.clock import monotonic
from gateway.config import HotlineConfig
from gateway.console import views
from gateway.console.access import Access
from gateway.console.access_routes import AccessRoutes
from gateway.console.account_routes import AccountRoutes
from gateway.console.aid_routes import AidRoutes
from gateway.console.asking import answered, read_body
from gateway.console.audit_routes import AuditRoutes
from gateway.console.cap import MEDIA_TYPE as CAP_TYPE
from gateway.console.cap import cap_alert
from gateway.console.card_views import card_part
from gateway.console.commands import check_area, check_right, facts_of
from gateway.console.decision_routes import DecisionRoutes
from gateway.console.desk_routes import DeskRoutes
from gateway.console.device_routes import DeviceRoutes
from gateway.console.device_views import parts_of as device_parts
from gateway.console.device_views import profile_view
from gateway.console.dialling import Dialling, contact_view, contacts_of, wanted
from gateway.console.export_routes import ExportRoutes
from gateway.console.figure_routes import FigureRoutes
from gateway.console.guard import Guard, address_of, give_cookie, is_own_origin, is_safe, name_on_duty, reader_of
from gateway.console.history_routes import HistoryRoutes
from gateway.console.idempotency import Answer, Answers
from gateway.console.level_routes import LevelRoutes
from gateway.console.live import HEARTBEAT_S, TICK_S, Feed, Scope
from gateway.console.maintenance_routes import MaintenanceRoutes
from gateway.console.map_routes import MapRoutes
from gateway.console.notice_routes import NoticeRoutes
from gateway.console.oidc_routes import OidcRoutes
from gateway.console.openapi import document
from gateway.console.ops_routes import OpsRoutes
from gateway.console.person_routes import PersonRoutes
from gateway.console.platform_routes import PlatformRoutes
from gateway.console.presence import Presence
from gateway.console.print_routes import PrintRoutes
from gateway.console.provider_routes import ProviderRoutes
from gateway.console.reader import Reader
from gateway.console.recording_routes import RecordingRoutes
from gateway.console.register_import_routes import RegisterImportRoutes
from gateway.console.register_routes import RegisterRoutes
from gateway.console.request_routes import RequestRoutes
from gateway.console.request_views import request_row
from gateway.console.retention_routes import RetentionRoutes
from gateway.console.reveal_routes import RevealRoutes
from gateway.console.rights import LEAD
from gateway.console.risk_routes import RiskRoutes
from gateway.console.seam import House
from gateway.console.self_test_routes import SelfTestRoutes
from gateway.console.server import BODY_LIMIT, listen_address, serve
from gateway.console.sessions import Session, Sessions
from gateway.console.shield import OUR_NAMES, Shield, content_policy, own_names
from gateway.console.shift_routes import ShiftRoutes
from gateway.console.signed_routes import SignedRoutes
from gateway.console.spare_routes import SpareRoutes, Standing
from gateway.console.tiles import Tiles
from gateway.console.upward_routes import UpwardRoutes
from gateway.console.views import Json
from gateway.console.watch_routes import WatchRoutes
from gateway.console.watch_views import part_of as watch_part
from gateway.core.account import AccessWrite
from gateway.core.aid_matters import is_shut_out
from gateway.core.command import Command
from gateway.core.incident import Action, Incident, State
from gateway.core.service_need import is_request
from gateway.dispatch.words import kind_said
from gateway.errors import Refused, StoreDown
from gateway.event import Kind
from gateway.metrics import own_version

__all__ = ["listen_address", "make_app", "serve"]

EXTENSION = re.compile(r"[0-9A-Za-z*#_.-]{1,16}")  # of a desk's telephone, as the exchange names it
ADDRESSES_LIMIT = 500  # characters of CAP's `addresses`
NAME_LIMIT = 32  # characters of a name on duty
KEY_LIMIT = 64  # characters of an Idempotency-Key; ours are 32 hex digits
POLL_LIMIT_S = 20.0
SOCKETS_LIMIT = 200  # sockets and long polls together; budgeted for 50 consoles, each may have a second screen
SLOW_S = 10.0  # a reader that takes nothing for this long is cut off and comes back by number

Endpoint = Callable[[Request], Awaitable[Response]]


def make_app(
    house: House,
    *,
    static_dir: Path,
    metrics_registry: CollectorRegistry,
    count_consoles: Callable[[int], None] = lambda _: None,
    names: tuple[str, ...] = OUR_NAMES,
    clock: Callable[[], float] = monotonic,
    own_token: str = "",
    standing: Standing | None = None,
) -> Starlette:
    """The application. `static_dir` holds index.html and what it loads; `count_consoles` is told how many are connected.

    own_token: what commands on this machine show; "" = there is none. standing: what we say of ourselves to the other machine (gateway.spare_guard).
    """
    console = Console(house, static_dir, metrics_registry, count_consoles, clock, own_token)
    names = (*names, *own_names(house.config.console))
    routes = [
        Route("/", console.index),
        Route("/metrics", console.metrics),
        Route("/healthz", console.health),
        Route("/readyz", console.ready),
        Route("/api/v1/openapi.json", console.openapi),
        Route("/api/v1/session", console.session),
        Route("/api/v1/duty", console.duty, methods=["POST"]),
        *AccessRoutes(console.access, _body, console.own, console.shown).routes,
        *AccountRoutes(house, console.access, console.sessions, name_on_duty, _body, console.once).routes,
        *OidcRoutes(house, console.access, console.sessions).routes,
        Route("/api/v1/changes", console.changes),
        WebSocketRoute("/api/v1/feed", console.feed_socket),
        Route("/api/v1/lines", console.lines),
        *DeviceRoutes(house, clock).routes,
        *ProviderRoutes(house, name_on_duty, _body, console.once).routes,
        *RequestRoutes(house, name_on_duty, _body, console.once).routes,
        *WatchRoutes(house, name_on_duty, _body, console.once).routes,
        *PersonRoutes(house, name_on_duty, _body).routes,
        *RegisterRoutes(house, name_on_duty, _body, console.once).routes,
        *RegisterImportRoutes(house, name_on_duty, _body, console.once).routes,
        *DecisionRoutes(house).routes,
        *LevelRoutes(house).routes,
        *MapRoutes(house, Tiles(house, metrics_registry), console.on_record).routes,
        *PlatformRoutes(house, _read, clock).routes,
        *UpwardRoutes(house).routes,
        *AidRoutes(house, name_on_duty, _body, console.once).routes,
        *HistoryRoutes(house, _body).routes,
        *PrintRoutes(house, _body).routes,
        *RecordingRoutes(house, _body, clock).routes,
        *ExportRoutes(house, _body, clock).routes,
        *AuditRoutes(house, _body).routes,
        *RetentionRoutes(house, name_on_duty, _body, console.once).routes,
        *DeskRoutes(house, name_on_duty, _body, console.once, console.presence, console.feed.ruled).routes,
        *MaintenanceRoutes(house, name_on_duty, _body, console.once).routes,
        *ShiftRoutes(house, name_on_duty, _body, console.once).routes,
        *NoticeRoutes(house, name_on_duty, _body, console.once, console.feed.ruled).routes,
        *FigureRoutes(house, name_on_duty, _body, console.once).routes,
        *OpsRoutes(house, name_on_duty, _body, console.once).routes,
        *SelfTestRoutes(house, name_on_duty, _body, console.once).routes,
        *RiskRoutes(house, name_on_duty, _body, console.once).routes,
        Route("/api/v1/call-backs", console.call_backs),
        *SignedRoutes(house, _read).routes,
        *SpareRoutes(house.config, metrics_registry, standing).routes,
        Route("/api/v1/incidents/{id}", console.incident),
        Route("/api/v1/incidents/{id}/cap", console.cap),
        *RevealRoutes(house, name_on_duty, _body, console.once, console.feed.ruled).routes,
        Route("/api/v1/incidents/{id}/dial", console.dial, methods=["POST"]),
        Route("/api/v1/calls/{key}/answer", console.answer, methods=["POST"]),
        Route("/api/v1/calls/{key}/hang_up", console.hang_up, methods=["POST"]),
        Route("/api/v1/calls/{key}/transfer", console.transfer, methods=["POST"]),
        Route("/api/v1/incidents/{id}/{action}", console.command, methods=["POST"]),
        Mount("/static", StaticFiles(directory=static_dir, check_dir=False), name="static"),
    ]
    errors: Any = {Refused: _refused, StoreDown: _store_down, 404: _not_found, 405: _not_allowed, Exception: _broken}
    app = Starlette(
        routes=console.guard.before(routes), middleware=[Middleware(Shield, policy=console.policy, names=names)], exception_handlers=errors
    )
    app.state.console = console
    return app


class Console:
    """The routes, over one house."""

    def __init__(
        self,
        house: House,
        static_dir: Path,
        registry: CollectorRegistry,
        count_consoles: Callable[[int], None],
        clock: Callable[[], float],
        own_token: str = "",
    ) -> None:
        self.house = house
        self.sessions = Sessions(clock)
        self.sessions.restore(house.sessions_kept(), house.now())
        self.guard = Guard(house, self.sessions, own_token)
        self.access = Access(house, self.sessions, clock)
        self.presence = Presence(self.sessions, self.guard, clock, lambda: house.register)
        self.feed = Feed(house, self.presence.operators)
        house.flood.operators, house.ears.consoles = self.presence.count, self.presence.listening
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
        return answered({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)

    async def openapi(self, _: Request) -> Response:
        return answered(document())

    async def session(self, request: Request) -> Response:
        """Who I am; opens a session when there is none. A cookie comes only then: in an answer that is slow it would undo a log-in of meanwhile."""
        if (session := self._session(request)) is not None:
            return answered(self._session_view(session, request))
        return self.shown(request, self.sessions.open(local=self.guard.is_own_command(request)))

    def shown(self, request: Request, session: Session) -> Response:
        """The session's view, with its cookie."""
        response = answered(self._session_view(session, request))
        give_cookie(request, response, session.token, self.sessions.left_s(session))
        return response

    async def duty(self, request: Request) -> Response:
        """上岗 and 离岗. The name is what was typed: unverified until there are accounts."""
        session, reader = self.own(request), reader_of(request)
        body = await _body(request)
        name, extension = body.get("name"), body.get("extension", session.extension)
        if name is not None and reader.is_verified:
            name = reader.name  # of the account, whatever was typed
        if name is not None and not (isinstance(name, str) and 1 <= len(name.strip()) <= NAME_LIMIT and name.strip().isprintable()):
            raise Refused("bad_name", 400, limit=NAME_LIMIT)
        if extension is not None and not (isinstance(extension, str) and EXTENSION.fullmatch(extension)):
            raise Refused("bad_extension", 400)
        name = None if name is None else name.strip()
        who = name or session.name
        before = session.name, session.extension
        session.name = name
        moved = self.sessions.sit_at(session, extension if name is not None else None)
        write = AccessWrite(sessions=tuple(one.row for one in (session, *moved) if one.login))
        try:
            if who is not None and (name != before[0] or (session.login and session.extension != before[1])):  # the desk outlives a restart, too
                await self.house.access(Kind.NOTE, who, write, duty=name is not None, verified=reader.is_verified)
        except StoreDown:
            session.name, session.extension = before
            raise
        return answered(self._session_view(session, request))

    async def changes(self, request: Request) -> Response:
        """Everything since a number, at once or (wait=seconds) as soon as there is something."""
        since, epoch = _since(request)
        wait_s = min(POLL_LIMIT_S, _number(request, "wait"))
        scope = scope_of(reader_of(request))
        self.feed.refresh()
        if wait_s > 0 and self.feed.is_current(since, epoch):
            self._enter()
            try:
                with self.feed:
                    await self.feed.wait(since, epoch, wait_s)
            finally:
                self._leave()
            reader = self.guard.reader(request)  # logged out, locked or moved elsewhere meanwhile?
            if reader is None:
                raise Refused("log_in", 401)
            if scope_of(reader) != scope:
                scope, since = scope_of(reader), 0
        return _raw(self.feed.frame(since, epoch, scope))

    async def feed_socket(self, socket: WebSocket) -> None:
        """The same frames as they come. The connection's whole state is one number: a slow reader makes nothing grow."""
        await socket.accept()
        if not is_own_origin(socket):
            return await socket.close(4403)
        if self.guard.reader(socket) is None:
            return await socket.close(4401)
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
        reader = self.guard.reader(socket)
        scope = scope_of(reader) if reader is not None else NOTHING
        frame = feed.frame(since, epoch, scope)
        while True:
            since, epoch = feed.rev, feed.epoch
            try:
                async with asyncio.timeout(SLOW_S):
                    await socket.send_text(frame.decode())
            except TimeoutError:
                async with asyncio.timeout(TICK_S):  # most likely in vain: the pipe is full
                    await socket.close(4408)
                return
            await asyncio.sleep(TICK_S)
            is_news = await feed.wait(since, epoch, HEARTBEAT_S - TICK_S)
            reader = self.guard.reader(socket)  # an open socket is presence
            if reader is None:
                await socket.close(4401)
                return
            if scope_of(reader) != scope:  # other rights now, or the screen was locked: everything anew
                scope, since, is_news = scope_of(reader), 0, True
            frame = feed.frame(since, epoch, scope) if is_news else feed.heartbeat()

    async def _listen(self, socket: WebSocket) -> None:
        """Up the socket come only signs of presence; any message counts as one."""
        while True:
            try:
                message = msgspec.json.decode(await socket.receive_text(), type=dict[str, object])
            except (WebSocketDisconnect, KeyError):
                return
            except (msgspec.DecodeError, RecursionError):
                continue
            session = self._session(socket)
            if session is not None:
                self.presence.say(session, message)

    async def lines(self, _: Request) -> Response:
        """The lines, of a mapping line with its profiles."""
        profiles = self.house.profiles
        return answered({"lines": [line | {"profiles": [profile_view(one) for one in profiles(str(line["id"]))]} for line in self._lines()]})

    async def call_backs(self, request: Request) -> Response:
        """Whoever waits to be called back in the reader's areas, in order."""
        house, reader = self.house, reader_of(request)
        mine = (one for one in house.incidents.values() if reader.sees(house.register, one))
        return answered({"call_backs": views.call_back_list(house.register, mine, house.now())})

    async def incident(self, request: Request) -> Response:
        """All of one incident, as far as this reader may see it."""
        house = self.house
        await house.recall(request.path_params["id"])
        incident = house.incidents.get(request.path_params["id"])
        if incident is None:
            raise Refused("unknown_incident", 404)
        rows = await house.timeline(incident.id)
        incident = house.incidents.get(incident.id, incident)
        decision = house.candidates(incident) if incident.state is not State.CLOSED else None
        reader = await self.on_record(request, incident)
        hotlines = house.config.calls.hotlines
        detail = views.incident_detail(house.register, incident, rows, decision, reader, house.now(), hotlines, house.config.plan)
        may_dial = house.telephone.is_there and views.is_entitled(incident, reader)
        detail["dial"] = [contact_view(one) for one in contacts_of(house.register, incident)] if may_dial else []
        detail["dialling"] = self.dialling.under_way(incident.id)
        detail["watch"] = watch_part(house.working, incident, rows, house.now(), hotlines)
        if is_request(incident):
            detail["request"] = request_row(house.register, house.working.services, incident, hotlines)
        card = card_part(house.working, house.config.hotline, incident, reader_of(request), views.is_entitled(incident, reader), house.now())
        return answered(detail | card | device_parts(house.register, incident))

    async def on_record(self, request: Request, incident: Incident) -> str | None:
        """The name of who reads about an incident; None where it could not be journalled that he sees a record: he sees the masked form."""
        session = self._session(request)
        return session.name if session is not None and await self._is_on_record(session, incident, reader_of(request)) else None

    async def _is_on_record(self, session: Session, incident: Incident, reader: Reader) -> bool:
        """An owner who opens a person's record is journalled first, once a session. If that cannot be written he sees the masked form."""
        seen = f"{incident.id} {incident.person or ''}"  # identified as somebody else, it is another record
        if session.name is None or incident.owner != session.name or session.has_viewed(seen):
            return True
        try:
            whose = {"incident": incident.id, "person": incident.person}
            await self.house.note(Kind.VIEWED, session.name, **whose, role=reader.role, address=reader.address)
        except StoreDown:
            return False
        session.view(seen)
        return True

    async def cap(self, request: Request) -> Response:
        """An incident as a CAP 1.2 alert; `to`: whom it is for, CAP's `addresses`; `language`: zh-CN or en."""
        house = self.house
        await house.recall(request.path_params["id"])
        incident = house.incidents.get(request.path_params["id"])
        if incident is None:
            raise Refused("unknown_incident", 404)
        language = request.query_params.get("language", house.config.gateway.language)
        if language not in ("zh-CN", "en"):
            raise Refused("bad_language", 400)
        to = request.query_params.get("to", "")
        if len(to) > ADDRESSES_LIMIT or not to.isprintable():
            raise Refused("bad_addresses", 400)
        names = {kind.value: kind_said(kind, language) for kind in Kind}
        body = cap_alert(incident, house.register, f"12349@{house.register.district or 'gateway'}", to, house.now(), names, language)
        return Response(body, media_type=CAP_TYPE)

    async def dial(self, request: Request) -> Response:
        """Ring somebody about an incident, by reference: 202 once the wish is on disk; what comes of it is a change of the incident."""
        session, name = self.on_duty(request)
        fields = wanted(await _body(request), ("contact",), ("extension",))
        house = self.house
        await house.recall(request.path_params["id"])
        incident = house.incidents.get(request.path_params["id"])
        if incident is None:
            raise Refused("unknown_incident", 404)
        if not views.is_entitled(incident, name) or is_shut_out(house.standings, name, house.now()):
            raise Refused("not_owner", 403)
        extension = fields.get("extension") or session.extension
        if extension is None:
            raise Refused("missing_extension", 400)
        if not EXTENSION.fullmatch(extension):
            raise Refused("bad_extension", 400)
        return await self.once(request, name, lambda: self.dialling.dial(name, extension, incident, fields["contact"]), 202)

    async def answer(self, request: Request) -> Response:
        """Have a ringing call sent to one's own telephone."""
        session, name = self.on_duty(request)
        wanted(await _body(request), ())
        key = request.path_params["key"]
        extension = session.extension
        if not self.feed.is_call_of(scope_of(reader_of(request)), key):
            raise Refused("foreign_area", 403)
        if extension is None:
            raise Refused("missing_extension", 400)
        return await self.once(request, name, lambda: self.dialling.answer(name, extension, key))

    async def hang_up(self, request: Request) -> Response:
        """End a call of one's own, or what one has dialled."""
        session, name = self.on_duty(request)
        wanted(await _body(request), ())
        key = request.path_params["key"]
        return await self.once(request, name, lambda: self.dialling.hang_up(name, session.extension, key))

    async def transfer(self, request: Request) -> Response:
        """Send the caller on to another agent's extension."""
        session, name = self.on_duty(request)
        to = wanted(await _body(request), ("to",))["to"]
        key = request.path_params["key"]
        return await self.once(request, name, lambda: self.dialling.transfer(name, session.extension, key, to))

    def on_duty(self, request: Request) -> tuple[Session, str]:
        """Session and name of who asks for something to be done, from our own page. Raises Refused 403."""
        return self.own(request), name_on_duty(request)

    async def once(self, request: Request, name: str, do: Callable[[], Awaitable[Json]], status: int = 200) -> Response:
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
        session = self.own(request)
        name = session.name
        if name is None:
            raise Refused("not_on_duty", 403)
        try:
            action = Action(request.path_params["action"])
            body = await _body(request)
            expected = body.pop("state", None), body.pop("version", None)
            facts = facts_of(action, body)
            check_right(reader_of(request).role, action, facts)
            check_area(self.house, reader_of(request), request.path_params["id"], action, facts)
        except (ValueError, KeyError):
            raise Refused("unknown_action", 404) from None
        expected = expected[0], expected[1] or request.headers.get("if-match", "").strip('W/"') or None
        key = _idempotency_key(request)
        incident = request.path_params["id"]
        if key is not None:  # one operator's, for one command: nobody else's can be swallowed by it, in memory or in the journal
            key = _short(name, incident, action, key)
        command = Command(action=action, actor=name, incident=incident, facts=facts, key=key)

        async def work() -> Answer:
            return await self._do(command, *expected)

        answer = await (work() if key is None else self._answers.once(key, work))
        return _raw(answer.body, answer.status)

    async def _do(self, command: Command, state: object, version: object) -> Answer:
        house = self.house
        try:
            await house.recall(command.incident)
            merged = house.incidents.get(command.incident)
            if command.action is Action.UNMERGE and merged is not None and merged.merged_into is not None:
                await house.recall(merged.merged_into)  # it may be closed meanwhile
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
        if command.action is Action.ASSIGN:
            self.presence.check_assignee(command.facts["to"], incident)

    def _session(self, connection: HTTPConnection) -> Session | None:
        return self.guard.session(connection)

    def own(self, request: Request) -> Session:
        """The session of a request that the guard has let in."""
        session = self._session(request)
        if session is None:
            raise Refused("csrf", 403)
        return session

    def _session_view(self, session: Session, request: Request) -> Json:
        register = self.house.register
        reader = self.guard.reader_of(session, address_of(request))
        known = {one.number: one for one in self.house.config.hotline}
        hotlines = [known.get(number, HotlineConfig(number=number)) for number in self.house.config.calls.hotlines]
        return {
            "name": session.name,
            "extension": session.extension,
            "telephone": self.house.telephone.is_there,
            "hotlines": [{"number": one.number, "name": one.name, "supplementary": one.supplementary} for one in hotlines],
            "verified": bool(reader and reader.is_verified),
            "accounts": self.house.config.console.accounts,
            "account": reader and {"login": reader.login, "name": reader.name, "role": reader.role, "areas": sorted(reader.areas)},
            "locked": bool(reader and reader.is_locked),
            **self.access.view(session, reader),
            "secure": is_safe(request) or request.url.hostname in ("127.0.0.1", "localhost", "::1"),
            "csrf": session.csrf,
            "district": {"id": register.district, "name": register.name, "name_en": register.district.replace("-", " ").title()},
            "now": self.house.now(),
            "language": self.house.config.gateway.language,
            "version": own_version(),
            "lines": self._lines() if reader is not None else [],
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


NOTHING = Scope(counts_only=True)


def scope_of(reader: Reader) -> Scope:
    """What of the feed somebody may see."""
    return Scope(reader.areas, reader.is_locked or not reader.sees_people, reader.role in LEAD)


def _number(connection: HTTPConnection, name: str) -> int:
    text = connection.query_params.get(name) or "0"
    if not (text.isascii() and text.isdecimal() and len(text) <= 15):
        raise Refused(f"bad_{name}", 400)
    return int(text)


def _since(connection: HTTPConnection) -> tuple[int, str]:
    return _number(connection, "since"), connection.query_params.get("epoch", "")


async def _read(request: Request) -> bytes:
    return await read_body(request, BODY_LIMIT)


async def _body(request: Request) -> dict[str, object]:
    try:
        return msgspec.json.decode(await _read(request) or b"{}", type=dict[str, object])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Refused("bad_json", 400) from None


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not (0 < len(key) <= KEY_LIMIT and key.isascii()):
        raise Refused("bad_idempotency_key", 400, limit=KEY_LIMIT)
    return key


def _short(*parts: str) -> str:
    """What stands for them: 200,000 such are remembered, ten of an alarm, and one with a Chinese name in it takes thrice the room."""
    return hashlib.blake2s("|".join(parts).encode("utf-8", "replace"), digest_size=16).hexdigest()


def _raw(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type="application/json")


async def _refused(_: Request, error: Refused) -> Response:
    return answered({"reason": error.reason, **error.facts}, error.status)


async def _store_down(_: Request, _error: StoreDown) -> Response:
    return answered({"reason": "store_down"}, 503)


async def _broken(_: Request, _error: Exception) -> Response:
    return answered({"reason": "internal"}, 500)  # the server logs it


async def _not_found(_: Request, _error: Exception) -> Response:
    return answered({"reason": "not_found"}, 404)


async def _not_allowed(_: Request, _error: Exception) -> Response:
    return answered({"reason": "method_not_allowed"}, 405)
