"""The page before a house in memory: whatever comes over HTTP is answered, nothing of it raises, and an order looks right in each of its states."""

import asyncio
import io
import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import httpx
import msgspec
import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers.contract import STORED, Verdict
from gateway.config import Config, LogConfig, PolicyConfig
from gateway.config.responder_page import ResponderPageConfig
from gateway.core.incident import Incident, Leg, LegState, Role, State
from gateway.core.register import Person, Register, Responder, ResponderKind
from gateway.core.state import WorkingSet
from gateway.event import Event, Kind, Position, Severity, new_id
from gateway.log import configure
from gateway.responder_page.app import Page
from gateway.responder_page.links import Links, device_mark
from gateway.responder_page.order_page import OFFERED, order_parts, standing_of, state_of
from gateway.responder_page.words import words_in

NOW = datetime(2026, 3, 14, 9, 30, tzinfo=UTC)
LINKS = Links("https://help.example.org/r", [b"a key of thirty-two bytes or more"])
PAGE = ResponderPageConfig(listen="127.0.0.1:1", public_url="https://help.example.org/r", secret_file="x", per_minute=100_000)
REGISTER = Register(
    persons=[Person(id="p-1", name="某老人", born=1940, address="某街某号", conditions="高血压", lat=36.3, lon=102.8)],
    responders=[
        Responder(id="desk", name="desk", kind=ResponderKind.DESK, channel="console"),
        Responder(id="station-1", name="一号驿站", kind=ResponderKind.STATION),
        Responder(id="station-2", name="二号驿站", kind=ResponderKind.STATION),
        Responder(id="next-door", name="某邻居", kind=ResponderKind.NEIGHBOUR),
    ],
)


def leg_of(responder: str = "station-1", state: LegState = LegState.SENT, **more: object) -> Leg:
    facts = {"delivery": new_id(), "channel": "mqtt", "ordered_at": NOW, "reply_by": NOW + timedelta(seconds=60), "ts": 1, **more}
    return Leg(responder=responder, state=state, **facts)  # type: ignore[arg-type]


def incident_of(*legs: Leg, state: State = State.RAISED) -> Incident:
    return Incident(
        id="I100001",
        key="person:p-1",
        kind=Kind.FALL,
        severity=Severity.CRITICAL,
        state=state,
        opened_at=NOW,
        changed_at=NOW,
        last_event_at=NOW,
        ts=1,
        person="p-1",
        position=Position(lat=36.3, lon=102.8, source="home"),
        legs=legs,
    )


def page_of(incident: Incident, leg: Leg, language: str = "en") -> str:
    return "\n".join(order_parts(incident, leg, REGISTER, words_in(language), NOW, "nonce"))


@pytest.mark.parametrize(
    ("leg", "rival", "state", "word"),
    [
        (leg_of(), None, State.RAISED, "asked"),
        (leg_of(state=LegState.QUEUED), None, State.ACKNOWLEDGED, "asked"),
        (leg_of(state=LegState.ACCEPTED), None, State.RAISED, "accepted"),
        (leg_of(state=LegState.EN_ROUTE), None, State.RAISED, "en_route"),
        (leg_of(state=LegState.ARRIVED), None, State.RAISED, "arrived"),
        (leg_of(state=LegState.DONE), None, State.RESOLVED, "done"),
        (leg_of(state=LegState.EXPIRED), None, State.RAISED, "late"),
        (leg_of(state=LegState.DECLINED), None, State.RAISED, "late"),
        (leg_of(state=LegState.WITHDRAWN), None, State.RAISED, "withdrawn"),
        (leg_of(state=LegState.WITHDRAWN), leg_of("station-2", LegState.ACCEPTED), State.RAISED, "taken"),
        (leg_of(state=LegState.EXPIRED), leg_of("station-2", LegState.DONE), State.RAISED, "taken"),
        (leg_of(state=LegState.EXPIRED), leg_of("next-door", LegState.ACCEPTED, role=Role.NEIGHBOUR), State.RAISED, "late"),  # no rival: beside us
        (leg_of(state=LegState.EXPIRED), None, State.CLOSED, "closed"),
    ],
)
def test_each_state_of_an_order_in_words(leg: Leg, rival: Leg | None, state: State, word: str) -> None:
    incident = incident_of(*filter(None, (leg, rival)), state=state)
    shown = standing_of(incident, leg)
    assert shown.word == word
    for language in ("zh-CN", "en"):
        page = page_of(incident, leg, language)
        assert [one for one in ("accept", "decline", "en_route", "arrived", "done") if f'value="{one}"' in page] == [
            one for one in ("accept", "decline", "en_route", "arrived", "done") if one in OFFERED.get(word, ())
        ]
        assert ("某老人" in page) is not shown.is_over
        assert ("某街某号" in page) is not shown.is_over


def test_a_neighbour_learns_where_and_nothing_more_and_is_not_named_to_others() -> None:
    leg = leg_of("next-door", role=Role.NEIGHBOUR)
    page = page_of(incident_of(leg), leg)
    assert "某街某号" in page
    assert "86" not in page
    assert "高血压" not in page
    medical = leg_of(role=Role.MEDICAL)
    assert "高血压" in page_of(incident_of(medical), medical)
    mine, theirs = leg_of(state=LegState.WITHDRAWN), leg_of("next-door", LegState.ACCEPTED)
    assert "某邻居" not in page_of(incident_of(mine, theirs), mine)
    assert "二号驿站" in page_of(incident_of(mine, leg_of("station-2", LegState.ACCEPTED)), mine)


def test_what_people_have_written_is_text_and_no_html() -> None:
    register = Register(
        persons=[Person(id="p-1", name="<script>alert(1)</script>", address='"><img src=x>')], responders=REGISTER.responders.values()
    )
    leg = leg_of()
    page = "\n".join(order_parts(incident_of(leg), leg, register, words_in("en"), NOW, "nonce"))
    assert "<script>" not in page
    assert "<img" not in page


def test_the_page_is_loaded_anew_only_when_it_would_look_different() -> None:
    leg = leg_of()
    incident = incident_of(leg)
    state = state_of(incident, leg, REGISTER)
    assert state_of(msgspec.structs.replace(incident, version=9, owner="Li Na"), leg, REGISTER) == state
    moved = msgspec.structs.replace(incident, position=Position(lat=36.4, lon=102.8))
    accepted = msgspec.structs.replace(leg, state=LegState.ACCEPTED)
    again = msgspec.structs.replace(leg, repeat=1)
    others = {state_of(moved, leg, REGISTER), state_of(incident_of(accepted), accepted, REGISTER), state_of(incident_of(again), again, REGISTER)}
    assert len(others | {state}) == 4


class House:
    """In memory: says "stored" to everything, and keeps it."""

    def __init__(self, *incidents: Incident) -> None:
        self.register = REGISTER
        self.working = WorkingSet(REGISTER, PolicyConfig())
        self.incidents = {incident.id: incident for incident in incidents}
        self.working.by_delivery.update((leg.delivery, incident.id) for incident in incidents for leg in incident.legs)
        self.taken: list[Event] = []
        self.verdict = STORED

    def now(self) -> datetime:
        return NOW

    async def receive(self, events: Sequence[Event]) -> Sequence[Verdict]:
        self.taken += events
        return [self.verdict for _ in events]


def app_of(house: House, page: ResponderPageConfig = PAGE) -> Page:
    return Page(house, Config(responder_page=page), LINKS)  # type: ignore[arg-type]


def client_of(app: Page, **more: object) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://page", **more)  # type: ignore[arg-type]


LEG = leg_of()
TOKEN = str(LINKS.link_for(LEG.delivery, LEG.responder, NOW + timedelta(hours=1))).rsplit("/", 1)[1]


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    method=st.sampled_from(("GET", "HEAD", "POST", "PUT", "OPTIONS", "TRACE", "BREW")),
    path=st.just(TOKEN)
    | st.text("/.%&=~*()-_AZaz09", max_size=60)
    | st.builds(lambda cut, more: TOKEN[:cut] + more, st.integers(0, 52), st.text("/.Az-_", max_size=9)),
    body=st.binary(max_size=300) | st.just(b"do=open&" + b"a=1&" * 50) | st.just(b"x" * 20_000),
    cookie=st.text("ABCabc012-_=;, \x7f", max_size=80),
    language=st.text("abc;q=.,-*019", max_size=30),
)
def test_whatever_is_asked_is_answered_and_shows_nobody(method: str, path: str, body: bytes, cookie: str, language: str) -> None:
    async def ask() -> httpx.Response:
        async with client_of(app_of(House(incident_of(LEG)))) as client:
            url = httpx.URL("http://page").copy_with(raw_path=f"/{path}".encode())
            return await client.request(method, url, content=body, headers={"cookie": f"device={cookie}", "accept-language": language})

    answer = asyncio.run(ask())
    assert answer.status_code in (200, 303, 404)
    assert "某老人" not in answer.text
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    if answer.status_code == 404:
        assert answer.content == b""


async def test_while_the_store_is_down_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = LINKS.new_device(TOKEN)
    leg = msgspec.structs.replace(LEG, opened=device_mark(secret))
    house = House(incident_of(leg))
    house.verdict = Verdict("refused", "store_down", retry=True)
    async with client_of(app_of(house), headers={"cookie": f"device={secret}", "accept-language": "en"}) as client:
        answer = await client.post(f"/{TOKEN}", data={"do": "accept", "nonce": LINKS.new_nonce(secret)})
        assert answer.status_code == 503
        assert "not saved yet" in answer.text
        assert 'value="accept"' in answer.text
        assert house.taken[0].detail["way"] == "page"
        fresh = House(incident_of(LEG))
        fresh.verdict = house.verdict
    async with client_of(app_of(fresh)) as client:
        opened = await client.post(f"/{TOKEN}", data={"do": "open"})
        assert opened.status_code == 503
        assert "set-cookie" not in opened.headers


async def test_behind_a_proxy_with_a_path_the_cookie_and_the_way_back_fit() -> None:
    async with client_of(app_of(House(incident_of(LEG)))) as client:
        answer = await client.post(f"/{TOKEN}?lang=en", data={"do": "open"})
        assert answer.status_code == 303
        assert answer.headers["location"] == f"{TOKEN}?lang=en"  # relative: the folder stays
        assert f"Path=/r/{TOKEN};" in answer.headers["set-cookie"]
        for word in ("HttpOnly", "SameSite=Lax", "Secure"):
            assert word in answer.headers["set-cookie"]
        assert "max-age" in answer.headers["strict-transport-security"]


async def test_one_source_and_one_link_ask_so_often_and_no_more() -> None:
    clock = [0.0]
    slow = msgspec.structs.replace(PAGE, per_minute=40)
    app = Page(House(incident_of(LEG)), Config(responder_page=slow), LINKS, clock=lambda: clock[0])  # type: ignore[arg-type]
    async with client_of(app) as client:
        assert [(await client.get("/guess")).status_code for _ in range(12)] == [404] * 10 + [429] * 2
        clock[0] = 1.5
        assert (await client.get(f"/{TOKEN}")).status_code == 200
    app = app_of(House(incident_of(LEG)))
    async with client_of(app) as client:
        answers = [await client.get(f"/{TOKEN}") for _ in range(40)]
        assert [answer.status_code for answer in answers].count(429) >= 9
        assert "致电值班台" in answers[-1].text or "ring the desk" in answers[-1].text


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """The gateway's own log, in memory; what stood before comes back."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    stream = io.StringIO()
    configure(LogConfig(), stream)
    yield stream
    structlog.reset_defaults()
    root.handlers, root.level = handlers, level


async def test_a_bug_of_ours_stays_on_one_page_and_tells_no_address(log: io.StringIO) -> None:
    house = House(incident_of(LEG))
    house.register = None  # type: ignore[assignment]
    async with client_of(app_of(house)) as client:
        assert (await client.get(f"/{TOKEN}")).status_code == 500
        assert (await client.get("/else")).status_code == 404
    assert "page_bug" in log.getvalue()
    ours = [line for line in log.getvalue().splitlines() if "[httpx]" not in line]  # the telephone of this test keeps a log of its own
    assert TOKEN not in "".join(ours)
