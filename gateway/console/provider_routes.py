"""Providers over HTTP: the list, one of them, and what people rule about them. Every ruling has a reason, an actor and a journal entry."""

from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.console.asking import Asking, answered, text, time
from gateway.console.guard import reader_of
from gateway.console.provider_views import provider_detail, provider_row
from gateway.console.views import Json
from gateway.core.provider_matters import CONFIRMED, REJECTED
from gateway.core.providers import look_up, state_of
from gateway.core.standing import Ruling
from gateway.core.territory import Provider, ProviderState
from gateway.errors import Refused

# What may be ruled: the matter, and the fields of the body beside `reason`. Each answers with the provider as it is then.
RULINGS: dict[str, tuple[str, tuple[str, ...]]] = {
    "state": ("provider", ("state",)),
    "freeze": ("frozen", ("until",)),
    "unfreeze": ("frozen", ()),
    "block": ("blocked", ("why",)),
    "unblock": ("blocked", ()),
    "grade": ("grade", ("stars", "scale", "assessor", "on", "until")),
    "proposal": ("proposal", ("decision",)),
}
DECISIONS = {"confirm": CONFIRMED, "reject": REJECTED}
PAGE = 200  # rows of one answer, about 150 KB; a city has thousands
PROPOSAL = "proposal"
STATES = (*(state.value for state in ProviderState), PROPOSAL)


class ProviderRoutes(Asking):
    """Providers, and what people rule about them."""

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/api/v1/providers", self.some),
            Route("/api/v1/providers/{id}", self.one),
            *(Route(f"/api/v1/providers/{{id}}/{what}", self.rule, methods=["POST"]) for what in RULINGS),
        ]

    async def some(self, request: Request) -> Response:
        """Providers by id, a page at a time; state: of their life, or proposal: those whose suspension is proposed."""
        house, now = self._house, self._house.now()
        after, state = request.query_params.get("after", ""), request.query_params.get("state", "")
        if state and state not in STATES:
            raise Refused("bad_state", 400, allowed=STATES)
        find = look_up(house.standings, now)

        def is_wanted(row: Provider) -> bool:
            if state == PROPOSAL:
                proposal = find(f"proposal:{row.id}")
                return proposal is not None and proposal.value == "proposed"
            return not state or state_of(house.register, find, row.id) == state

        counts: dict[str, int] = dict.fromkeys((one.value for one in ProviderState), 0)
        reader = reader_of(request)
        mine = {name: row for name, row in house.register.providers.items() if reader.serves(house.register, name)}
        for row in mine.values():
            counts[str(state_of(house.register, find, row.id))] += 1
        found = [row for name, row in sorted(mine.items()) if name > after and is_wanted(row)]
        rows = [self._view(row, now) for row in found[:PAGE]]
        following = found[PAGE - 1].id if len(found) > PAGE else None
        body = {"now": now, "providers": rows, "after": following, "counts": counts}
        return answered(body)

    async def one(self, request: Request) -> Response:
        """One of them, with what would be bare without it."""
        house = self._house
        row = self._row(request)
        working = house.working
        detail = provider_detail(house.register, working.services, house.standings, working.load, row, house.now())
        return answered({"provider": detail})

    async def rule(self, request: Request) -> Response:
        """Rule about it: a row of RULINGS, with a reason."""
        actor = self._on_duty(request)
        what = request.url.path.rpartition("/")[2]
        matter, fields = RULINGS[what]
        body = await self.fields(request, {*fields, "reason"})
        row = self._row(request)
        key = request.headers.get("idempotency-key")
        ruling = Ruling(
            key=f"{matter}:{row.id}",
            value=_value(what, body),
            actor=actor,
            reason=text(body, "reason"),
            until=time(body, "until"),
            detail={name: body.get(name) for name in ("scale", "assessor", "on")} if what == "grade" else {},
            identity=f"{actor}|{matter}:{row.id}|{what}|{key}" if key else None,
        )

        async def work() -> Json:
            await self._house.rule(ruling)
            return {"provider": self._view(row, self._house.now())}

        return await self._once(request, actor, work)

    def _row(self, request: Request) -> Provider:
        row = self._house.register.providers.get(request.path_params["id"])
        if row is None:
            raise Refused("unknown_provider", 404)
        if not reader_of(request).serves(self._house.register, row.id):
            raise Refused("foreign_area", 403)
        return row

    def _view(self, row: Provider, now: datetime) -> Json:
        house = self._house
        return provider_row(house.register, house.working.services, house.standings, house.working.load, row, now)


def _value(what: str, body: dict[str, object]) -> str:
    if what in ("unfreeze", "unblock"):
        return ""
    if what == "freeze":
        return "frozen"
    if what == "grade":
        stars = body.get("stars")
        if isinstance(stars, bool) or not isinstance(stars, int | float):
            raise Refused("bad_grade", 400)
        return f"{stars:g}"
    name = {"state": "state", "block": "why", "proposal": "decision"}[what]
    value = text(body, name)
    if not value:
        raise Refused(f"missing_{name}", 400)
    if what == "proposal":
        if value not in DECISIONS:
            raise Refused("bad_decision", 400, allowed=sorted(DECISIONS))
        return DECISIONS[value]
    return value
