"""The way to an OpenID provider and back, for browsers: two GETs, as only a page of the provider leads to the second."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from gateway.console.access import Access
from gateway.console.guard import address_of, give_cookie, is_safe
from gateway.console.oidc import BEGUN_S, RETURN, Identity, OpenId
from gateway.console.seam import House
from gateway.console.sessions import Sessions
from gateway.core.account import NO_ROWS, Account
from gateway.errors import Refused, StoreDown
from gateway.event import Kind

START = "/api/v1/oidc/start"
COOKIE = "oidc"  # Lax: the way back begins at another site, to which no Strict cookie goes along
TEXT_LIMIT = 4096  # characters of a code; a few hundred in practice


class OidcRoutes:
    """Over one house whose configuration has a provider; else both say that there is none."""

    def __init__(self, house: House, access: Access, sessions: Sessions) -> None:
        self._house = house
        self._access = access
        self._sessions = sessions
        config = house.config
        self._provider = OpenId(config.oidc, config.folder) if config.oidc.is_on and config.console.accounts else None

    @property
    def routes(self) -> list[Route]:
        return [Route(START, self.start), Route(RETURN, self.come_back)]

    async def start(self, request: Request) -> Response:
        """To the provider's page."""
        if self._provider is None:
            raise Refused("no_provider", 404)
        try:
            where, browser = await self._provider.begin()
        except Refused as refused:
            return _home(refused.reason)
        answer = RedirectResponse(where, 303)
        answer.set_cookie(COOKIE, browser, max_age=int(BEGUN_S), path=RETURN, httponly=True, samesite="lax", secure=is_safe(request))
        return answer

    async def come_back(self, request: Request) -> Response:
        """From there: with a log-in, or with the reason why there is none. The page reads it behind the #, which no server is sent."""
        if self._provider is None:
            raise Refused("no_provider", 404)
        query = request.query_params
        state, code, browser = query.get("state", ""), query.get("code", ""), request.cookies.get(COOKIE, "")
        address = address_of(request)
        try:
            if query.get("error") or not code or len(code) > TEXT_LIMIT:
                raise Refused("oidc_refused", 403)
            identity = await self._provider.end(state, code, browser)
            account = await self._account(identity, address)
            # Found by its login the first time, by nothing but this identity from then on.
            news = {"external": identity.external} if account.external != identity.external else None
            session = await self._access.open(self._sessions.open(), account, address, way="oidc", news=news)
        except Refused as refused:
            return _home(refused.reason)
        except StoreDown:
            return _home("store_down")
        answer = _home()
        give_cookie(request, answer, session.token, self._sessions.left_s(session))
        answer.delete_cookie(COOKIE, path=RETURN)
        return answer

    async def _account(self, identity: Identity, address: str) -> Account:
        """Whose identity it is. Raises Refused: oidc_unknown, which the journal keeps so that an administrator can connect it."""
        accounts = [one for one in self._house.accounts.all() if not one.disabled]
        known = next((one for one in accounts if one.external == identity.external), None)
        if known is None and identity.login:
            known = next((one for one in accounts if one.login == identity.login.lower() and not one.external), None)
        if known is None:
            facts = {
                "what": "log_in",
                "way": "oidc",
                "external": identity.external,
                "address": address,
                "result": "refused",
                "reason": "oidc_unknown",
            }
            await self._house.access(Kind.ACCESS, None, NO_ROWS, **facts)
            raise Refused("oidc_unknown", 403)
        return known


def _home(reason: str = "") -> Response:
    return RedirectResponse(f"/#log-in={reason}" if reason else "/", 303)
