"""Log-in, log-out, lock and one's own secrets over HTTP. Secrets come in bodies and leave in none but the one that enrols an app."""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.console.access import Access
from gateway.console.asking import Body, answered
from gateway.console.guard import address_of
from gateway.console.sessions import Session
from gateway.errors import Refused

TEXT_LIMIT = 256  # characters of a login, a password, a code: longer is none

Shown = Callable[[Request, Session], Response]  # the session's view, with its cookie


class AccessRoutes:
    """own: the session of a request that the guard has let in; shown: the answer that tells a session and sets its cookie."""

    def __init__(self, access: Access, body: Body, own: Callable[[Request], Session], shown: Shown) -> None:
        self._access = access
        self._body = body
        self._own = own
        self._shown = shown

    @property
    def routes(self) -> list[Route]:
        """All of them are POST: they change something, or carry a secret."""
        ways = {
            "login": self.log_in,
            "logout": self.log_out,
            "lock": self.lock,
            "unlock": self.unlock,
            "password": self.password,
            "pin": self.pin,
            "totp": self.totp,
        }
        return [Route(f"/api/v1/{name}", way, methods=["POST"]) for name, way in ways.items()]

    async def log_in(self, request: Request) -> Response:
        """{login, password, code?}: the session's view and a new cookie."""
        given = await self._texts(request, ("login", "password"), ("code",))
        before = self._own(request)
        session = await self._access.log_in(before, given["login"], given["password"], given.get("code", ""), address_of(request))
        return self._shown(request, session)

    async def log_out(self, request: Request) -> Response:
        """Also with a locked screen: somebody else may sit down."""
        await self._texts(request, ())
        await self._access.log_out(self._own(request), address_of(request))
        return answered({})

    async def lock(self, request: Request) -> Response:
        """Show counts only. Who has not logged in has nothing to unlock with."""
        await self._texts(request, ())
        session = self._with_log_in(request)
        await self._access.lock(session, address_of(request))
        return self._shown(request, session)

    async def unlock(self, request: Request) -> Response:
        """{secret}: password or PIN."""
        given = await self._texts(request, ("secret",))
        session = self._with_log_in(request)
        await self._access.unlock(session, given["secret"], address_of(request))
        return self._shown(request, session)

    async def password(self, request: Request) -> Response:
        """{old, new}."""
        given = await self._texts(request, ("old", "new"))
        session = self._unlocked(request)
        return self._shown(request, await self._access.change_password(session, given["old"], given["new"], address_of(request)))

    async def pin(self, request: Request) -> Response:
        """{password, pin?}: without one it is taken away."""
        given = await self._texts(request, ("password",), ("pin",))
        session = self._unlocked(request)
        await self._access.change_pin(session, given["password"], given.get("pin", ""), address_of(request))
        return self._shown(request, session)

    async def totp(self, request: Request) -> Response:
        """{what: enrol, password}: {secret, address}; {what: confirm, code}; {what: drop, password}."""
        given = await self._texts(request, ("what",), ("password", "code"))
        session = self._unlocked(request)
        needed = {"enrol": "password", "confirm": "code", "drop": "password"}.get(given["what"])
        if needed is None:
            raise Refused("bad_what", 400, allowed=("enrol", "confirm", "drop"))
        if not given.get(needed):
            raise Refused(f"missing_{needed}", 400)
        if given["what"] == "enrol":
            return answered(await self._access.enrol_totp(session, given["password"]))
        if given["what"] == "confirm":
            await self._access.confirm_totp(session, given["code"], address_of(request))
        else:
            await self._access.drop_totp(session, given["password"], address_of(request))
        return self._shown(request, session)

    def _with_log_in(self, request: Request) -> Session:
        session = self._own(request)
        if not session.login:
            raise Refused("no_account", 409)
        return session

    def _unlocked(self, request: Request) -> Session:
        session = self._with_log_in(request)
        if session.locked:
            raise Refused("locked", 423)
        return session

    async def _texts(self, request: Request, needed: tuple[str, ...], others: tuple[str, ...] = ()) -> dict[str, str]:
        """The fields of the body. Raises Refused: unknown_field, missing_…, bad_…. A value is never told back."""
        body = await self._body(request)
        unknown = sorted(body.keys() - {*needed, *others})
        if unknown:
            raise Refused("unknown_field", 400, field=unknown[0])
        found: dict[str, str] = {}
        for name in (*needed, *others):
            value = body.get(name)
            if value is None or value == "":
                if name in needed:
                    raise Refused(f"missing_{name}", 400)
                continue
            if not isinstance(value, str) or len(value) > TEXT_LIMIT:
                raise Refused(f"bad_{name}", 400)
            found[name] = value
        return found
