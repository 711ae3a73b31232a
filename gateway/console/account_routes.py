"""Accounts over HTTP, for who administers them. What names somebody stands in bodies, never in an address; hashes and secrets never leave."""

from collections.abc import Sequence

from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway import passwords
from gateway.console.access import Access
from gateway.console.asking import Asking, Body, Once, OnDuty, answered, text
from gateway.console.guard import address_of, reader_of
from gateway.console.lock_out import TRIES
from gateway.console.seam import House
from gateway.console.sessions import Session, Sessions
from gateway.console.views import Json
from gateway.core.account import AccessWrite, Account
from gateway.errors import Refused
from gateway.event import Kind

ID_SHOWN = 16  # hex digits of a session's id: enough to tell them apart, too few to be anything


class AccountRoutes(Asking):
    """Making and changing accounts. Each change is journalled with who made it."""

    def __init__(self, house: House, access: Access, sessions: Sessions, on_duty: OnDuty, body: Body, once: Once) -> None:
        super().__init__(house, on_duty, body, once)
        self._access = access
        self._sessions = sessions

    @property
    def routes(self) -> list[Route]:
        """One path a kind of change; each names the account in its body."""
        ways = {
            "change": self.change,
            "disable": self.disable,
            "enable": self.enable,
            "reset_password": self.reset_password,
            "set_password": self.set_password,
            "reset_totp": self.reset_totp,
            "unlock": self.unlock,
            "sessions": self.sessions,
            "end_session": self.end_session,
        }
        return [
            Route("/api/v1/accounts", self.accounts, methods=["GET", "POST"]),
            *(Route(f"/api/v1/accounts/{name}", way, methods=["POST"]) for name, way in ways.items()),
        ]

    async def accounts(self, request: Request) -> Response:
        """GET: every account, by login; the areas that there are. POST: see `create`."""
        if request.method == "POST":
            return await self.create(request)
        register = self._house.register
        areas = [{"id": one.id, "name": one.name, "parent": one.parent} for one in register.areas.values()]
        return answered({"accounts": [self._view(one) for one in self._house.accounts.all()], "areas": areas})

    async def create(self, request: Request) -> Response:
        """{login, name, role, areas?, password?}: without a password one is made up, and told this once. It must be changed at the first log-in."""
        body = await self.fields(request, ("login", "name", "role", "areas", "password", "own"))
        house = self._house
        account = house.accounts.new(
            text(body, "login"), text(body, "name"), text(body, "role"), _areas(body) or (), house.register.areas, house.now()
        )
        one_time = "" if body.get("password") else passwords.one_time_password()
        account = await self._with_password(account, one_time or _secret(body), must_change=body.get("own") is not True)
        async with self._access.changing:
            if house.accounts.find(account.login) is not None or house.accounts.named(account.name) is not None:
                raise Refused("login_taken", login=account.login)  # somebody else was quicker while we hashed
            await self._write("created", account, request)
        return answered({"account": self._view(account), **({"one_time_password": one_time} if one_time else {})}, 201)

    async def change(self, request: Request) -> Response:
        """{login, name?, role?, areas?, external?}. Another role, or another identity at the OpenID provider, ends the sessions of the account."""
        body = await self.fields(request, ("login", "name", "role", "areas", "external"))
        name, role, external = (text(body, key) if key in body else None for key in ("name", "role", "external"))
        house = self._house
        async with self._access.changing:
            before = self._known(body)
            mine = self._sessions.of(before.login)
            if name is not None and name != before.name and any(one.name is not None for one in mine):
                raise Refused("on_duty")  # what they have in hand stands under the old name
            account = house.accounts.changed(before, house.now(), house.register.areas, name=name, role=role, areas=_areas(body), external=external)
            ended = mine if (account.role, account.external) != (before.role, before.external) else []
            await self._write("changed", account, request, ended)
        return answered({"account": self._view(account)})

    async def disable(self, request: Request) -> Response:
        """{login}: may not log in any more; every session ends at once. Raises Refused: last_admin."""
        body = await self.fields(request, ("login",))
        house = self._house
        async with self._access.changing:
            account = house.accounts.changed(self._known(body), house.now(), house.register.areas, disabled=True)
            await self._write("disabled", account, request, self._sessions.of(account.login))
        return answered({"account": self._view(account)})

    async def enable(self, request: Request) -> Response:
        """{login}: may log in again, with the password it had."""
        body = await self.fields(request, ("login",))
        house = self._house
        async with self._access.changing:
            account = house.accounts.changed(self._known(body), house.now(), house.register.areas, disabled=False)
            await self._write("enabled", account, request)
        return answered({"account": self._view(account)})

    async def reset_password(self, request: Request) -> Response:
        """{login}: a one-time password, told this once; every session ends, and what locked the account out is forgotten."""
        body = await self.fields(request, ("login",))
        one_time = passwords.one_time_password()
        account = await self._give_password(self._known(body), one_time, request, must_change=True)
        return answered({"account": self._view(account), "one_time_password": one_time})

    async def set_password(self, request: Request) -> Response:
        """{login, password, own?}: as above with a password of one's choice; own: the person typed it, it need not be changed."""
        body = await self.fields(request, ("login", "password", "own"))
        account = await self._give_password(self._known(body), _secret(body), request, must_change=body.get("own") is not True)
        return answered({"account": self._view(account)})

    async def _give_password(self, account: Account, password: str, request: Request, *, must_change: bool) -> Account:
        if account.external:
            raise Refused("external_account")
        account = await self._with_password(account, password, must_change=must_change)
        async with self._access.changing:
            known = self._house.accounts.known(account.login)
            account = replace(known, password=account.password, must_change=account.must_change, changed_at=self._house.now())
            await self._write("password_reset", account, request, self._sessions.of(account.login))
        self._access.lock_out.forget(f"account:{account.login}")
        return account

    async def reset_totp(self, request: Request) -> Response:
        """{login}: the telephone is lost; the password alone counts until a new one is enrolled."""
        body = await self.fields(request, ("login",))
        async with self._access.changing:
            account = replace(self._known(body), totp="", totp_used=0, changed_at=self._house.now())
            await self._write("totp_reset", account, request)
        return answered({"account": self._view(account)})

    async def unlock(self, request: Request) -> Response:
        """{login}: what locked it out is forgotten."""
        account = self._known(await self.fields(request, ("login",)))
        await self._house.access(Kind.ACCESS, self._actor(request), what="lock_out_lifted", login=account.login, address=address_of(request))
        self._access.lock_out.forget(f"account:{account.login}")
        return answered({"account": self._view(account)})

    async def sessions(self, request: Request) -> Response:
        """{login}: where somebody is logged in."""
        account = self._known(await self.fields(request, ("login",)))
        return answered({"sessions": [_session_view(one) for one in self._sessions.of(account.login)]})

    async def end_session(self, request: Request) -> Response:
        """{login, session}: that browser has to log in again."""
        body = await self.fields(request, ("login", "session"))
        account, wanted = self._known(body), text(body, "session")
        found = [one for one in self._sessions.of(account.login) if one.id[:ID_SHOWN] == wanted]
        if not found:
            raise Refused("unknown_session", 404)
        facts = {"what": "session_ended", "login": account.login, "role": account.role, "address": address_of(request)}
        await self._house.access(Kind.ACCESS, self._actor(request), AccessWrite(ended=tuple(one.id for one in found)), **facts)
        self._close(found)
        return answered({"sessions": [_session_view(one) for one in self._sessions.of(account.login)]})

    def _known(self, body: dict[str, object]) -> Account:
        return self._house.accounts.known(text(body, "login").lower())

    def _actor(self, request: Request) -> str:
        """A command on this machine may speak without having said who types it."""
        return reader_of(request).name or "local"

    async def _with_password(self, account: Account, password: str, *, must_change: bool) -> Account:
        fault = passwords.fault_of_password(password, account.login, account.name)
        if fault is not None:
            raise Refused(fault, 400, least=passwords.PASSWORD_LEAST)
        return replace(account, password=await self._access.hashing.run(passwords.hashed, password), must_change=must_change)

    async def _write(self, what: str, account: Account, request: Request, ended: Sequence[Session] = ()) -> None:
        facts = {"what": what, "login": account.login, "name": account.name, "role": account.role, "areas": account.areas}
        actor = self._actor(request)
        write = AccessWrite(accounts=(account,), ended=tuple(one.id for one in ended))
        await self._house.access(Kind.ACCOUNT, actor, write, **facts, by=reader_of(request).login or actor, address=address_of(request))
        self._close(ended)

    def _close(self, sessions: Sequence[Session]) -> None:
        for one in sessions:
            self._sessions.close(one)

    def _view(self, account: Account) -> Json:
        """An account without its secrets."""
        return {
            "login": account.login,
            "name": account.name,
            "role": account.role,
            "areas": account.areas,
            "disabled": account.disabled,
            "must_change": account.must_change,
            "password": bool(account.password),
            "pin": bool(account.pin),
            "totp": bool(account.totp),
            "external": account.external,
            "locked_out": self._access.lock_out.is_out(f"account:{account.login}", TRIES),
            "sessions": len(self._sessions.of(account.login)),
            "changed_at": account.changed_at,
        }


def _session_view(session: Session) -> Json:
    return {
        "session": session.id[:ID_SHOWN],
        "address": session.address,
        "opened_at": session.opened_at,
        "until": session.until_at,
        "duty": session.name is not None,
        "extension": session.extension,
        "locked": session.locked,
    }


def _areas(body: dict[str, object]) -> tuple[str, ...] | None:
    """None: not said. Raises Refused: bad_areas."""
    areas = body.get("areas")
    if areas is None:
        return None
    if not isinstance(areas, list) or not all(isinstance(one, str) for one in areas):
        raise Refused("bad_areas", 400)
    return tuple(areas)


def _secret(body: dict[str, object]) -> str:
    """A password as it was typed, blanks and all."""
    secret = body.get("password")
    if secret is None or secret == "":
        raise Refused("missing_password", 400)
    if not isinstance(secret, str):
        raise Refused("bad_password", 400)
    return secret
