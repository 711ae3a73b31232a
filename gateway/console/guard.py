"""Before every route: from which page, who, with which right, in whose area. What a route asks for is its row in `rights.RULES`."""

import hmac
import inspect
import ipaddress
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from gateway.console.reader import Reader
from gateway.console.rights import Rule, rule_of
from gateway.console.seam import House
from gateway.console.sessions import COOKIE, SAFE_COOKIE, Session, Sessions
from gateway.core.account import AccountRole
from gateway.errors import Refused

READING = frozenset(("GET", "HEAD"))
# What proxies add, each some of it (RFC 9110, 7.6.3; RFC 7239; nginx, HAProxy, Traefik, Apache): one is enough to know that there is one.
THROUGH_A_PROXY = frozenset(("via", "forwarded", "x-real-ip", *(f"x-forwarded-{what}" for what in ("for", "by", "host", "port", "proto", "server"))))


class Guard:
    """Puts itself before the routes; afterwards `request.state.reader` is who asks."""

    def __init__(self, house: House, sessions: Sessions, own_token: str = "") -> None:
        self._house = house
        self._sessions = sessions
        self._own_token = own_token  # of commands on this machine; "" = there is none

    def before(self, routes: Sequence[BaseRoute]) -> list[BaseRoute]:
        """The same routes, guarded. Raises LookupError for one without a row."""
        for route in routes:
            if isinstance(route, WebSocketRoute):
                rule_of("WS", route.path)
        return [self._guarded(route) if isinstance(route, Route) else route for route in routes]

    def session(self, connection: HTTPConnection) -> Session | None:
        """The session of the browser, marked as seen. That of a command counts from this machine alone."""
        session = self._sessions.find(connection.cookies.get(cookie_name(connection)))
        return None if session is not None and session.local and not is_near(connection) else session

    def is_own_command(self, connection: HTTPConnection) -> bool:
        """Does a command on this machine speak, that can read the data folder?"""
        scheme, _, token = connection.headers.get("authorization", "").partition(" ")
        fits = hmac.compare_digest(token.strip().encode(), self._own_token.encode())
        return bool(self._own_token) and scheme.lower() == "bearer" and fits and is_near(connection)

    def reader(self, connection: HTTPConnection) -> Reader | None:
        """Who asks; None: nobody has logged in."""
        return self._reader(connection, self.session(connection))

    def _reader(self, connection: HTTPConnection, session: Session | None) -> Reader | None:
        address = address_of(connection)
        if session is None and self.is_own_command(connection):
            return Reader(name=None, role=AccountRole.LOCAL, address=address)
        return self.reader_of(session, address)

    def reader_of(self, session: Session | None, address: str = "") -> Reader | None:
        """Who sits at this session."""
        if not self._house.config.console.accounts or (session is not None and session.local):
            name = session.name if session is not None else None
            return Reader(name=name, role=AccountRole.LOCAL, is_on_duty=name is not None, address=address)
        account = self._house.accounts.find(session.login) if session is not None else None
        if session is None or account is None or account.disabled:
            return None
        return Reader(
            name=account.name,
            role=account.role,
            areas=frozenset(account.areas),
            login=account.login,
            is_on_duty=session.name is not None,
            is_locked=session.locked or account.must_change,
            is_verified=True,
            address=address,
        )

    async def admit(self, connection: HTTPConnection, method: str, path: str) -> Reader:
        """Who asks, if they may. Raises Refused: origin, csrf, log_in, locked, no_right, not_on_duty, foreign_area."""
        rule = rule_of(method, path)
        session = self.session(connection)
        reader = self._reader(connection, session)
        if method not in READING and not rule.signed and method != "WS":
            if not is_own_origin(connection):
                raise Refused("origin", 403)
            is_ours = session is not None and session.allows(connection.headers.get("x-csrf", ""))
            if not is_ours and not (session is None and self.is_own_command(connection)):  # no page of others can send that header
                raise Refused("csrf", 403)
        if rule.roles is None:
            return reader or Reader(name=None, role=AccountRole.WALL, address=address_of(connection))
        if rule.near and is_near(connection):
            return reader or Reader(name=None, role=AccountRole.OPS, address=address_of(connection))
        if reader is None:
            raise Refused("log_in", 401)
        self._check(rule, reader)
        if rule.incident:
            await self._check_area(reader, connection.path_params["id"])
        return reader

    def _check(self, rule: Rule, reader: Reader) -> None:
        assert rule.roles is not None
        if reader.role not in rule.roles:
            raise Refused("no_right", 403)
        if reader.is_locked and not rule.locked:
            raise Refused("locked", 423)
        if rule.on_duty and not reader.is_on_duty:
            raise Refused("not_on_duty", 403)

    async def _check_area(self, reader: Reader, name: str) -> None:
        """An incident that there is must lie in the reader's areas; what there is not, the route says itself."""
        if not reader.areas:
            return
        house = self._house
        await house.recall(name)
        incident = house.incidents.get(name)
        if incident is not None and not reader.sees(house.register, incident):
            raise Refused("foreign_area", 403)

    def _guarded(self, route: Route) -> Route:
        methods = sorted((route.methods or {"GET"}) - {"HEAD"})
        for method in methods:
            rule_of(method, route.path)
        endpoint: Any = route.endpoint

        async def guarded(request: Request) -> Response:
            method = "GET" if request.method == "HEAD" else request.method
            request.state.reader = await self.admit(request, method, route.path)
            if inspect.iscoroutinefunction(endpoint):
                answer = await endpoint(request)
            else:
                answer = await run_in_threadpool(endpoint, request)
            assert isinstance(answer, Response)
            return answer

        return Route(route.path, guarded, methods=methods, name=route.name)


def reader_of(request: Request) -> Reader:
    """Who asks, as the guard has found."""
    reader = request.state.reader
    assert isinstance(reader, Reader)
    return reader


def name_on_duty(request: Request) -> str:
    """The actor of what is asked to be done. Raises Refused: not_on_duty."""
    reader = reader_of(request)
    if reader.name is None:
        raise Refused("not_on_duty", 403)
    return reader.name


def is_own_origin(connection: HTTPConnection) -> bool:
    """A browser says from which page it comes; a script says nothing and has no cookie to misuse."""
    origin = connection.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == connection.headers.get("host")


def is_safe(connection: HTTPConnection) -> bool:
    """Does it come over TLS?"""
    return connection.url.scheme in ("https", "wss")


def cookie_name(connection: HTTPConnection) -> str:
    """Under https one that only we can have set; on plain http a browser would drop that silently (console design, 8)."""
    return SAFE_COOKIE if is_safe(connection) else COOKIE


def address_of(connection: HTTPConnection) -> str:
    """The browser's address; "" when there is none."""
    return connection.client.host if connection.client is not None else ""


def is_near(connection: HTTPConnection) -> bool:
    """Does it come from this machine itself, and not through a proxy on it? An address of its own at both ends never left it either."""
    if not THROUGH_A_PROXY.isdisjoint(connection.headers.keys()):
        return False
    address, server = address_of(connection), connection.scope.get("server")
    try:
        return ipaddress.ip_address(address).is_loopback or (server is not None and address == server[0])
    except ValueError:
        return address in ("", "testclient")


def give_cookie(request: Request, response: Response, token: str, life_s: float) -> None:
    """The session, where no page of anybody else can read it or have it sent."""
    response.set_cookie(cookie_name(request), token, max_age=int(life_s), path="/", secure=is_safe(request), httponly=True, samesite="strict")
