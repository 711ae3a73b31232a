"""No ears: nobody on duty whose page can sound, by a clock of the test's own; and who is told then."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from drivers.contract import Rejected, Verdict
from gateway.accounts import Accounts
from gateway.config import ConsoleConfig
from gateway.core.account import Account, AccountRole
from gateway.core.incident import Flag, State
from gateway.core.register import Area, AreaKind, Register
from gateway.ears import Ears, Listening
from gateway.errors import Refused
from gateway.event import Event, Kind, Phase, Severity
from tests.core.room import AREAS, START, Room

ALL: frozenset[str] = frozenset()
OPERATOR = Account(login="lina", name="Li Na", role=AccountRole.OPERATOR)
OF_TOWN = Account(login="wang", name="Wang", role=AccountRole.OPERATOR, areas=("haishiwan",))
TOWNS = (*AREAS, Area(id="pingan", name="Pingan", kind=AreaKind.TOWN, parent="honggu"))


class Desk:
    """Ears with a register, accounts, consoles and a pipeline that can be down; `told`: (kind, line) of what was given to it."""

    def __init__(self, *accounts: Account, config: ConsoleConfig | None = None) -> None:
        self.accounts = Accounts(accounts)
        self.consoles: list[Listening] = []
        self.told: list[tuple[str, str]] = []
        self.is_down = False
        register = Register(district="honggu", areas=TOWNS)
        self.ears = Ears(config or ConsoleConfig(), lambda: self.accounts, lambda: register, self.receive)
        self.ears.consoles = lambda: self.consoles

    async def receive(self, events: Sequence[Event | Rejected]) -> Sequence[Verdict]:
        if self.is_down:
            return [Verdict("refused", "store_down", retry=True) for _ in events]
        self.told += [(str(event.kind), event.line) for event in events if isinstance(event, Event)]
        return [Verdict("stored") for _ in events]

    async def look(self, at: float) -> None:
        await self.ears.look(at, START + timedelta(seconds=at))


async def test_half_a_minute_without_sound_is_an_incident_and_sound_ends_it() -> None:
    desk = Desk(OPERATOR)
    desk.consoles = [Listening(ALL, False)]
    for at in (0, 10, 29.9):
        await desk.look(at)
    assert desk.told == []
    await desk.look(30)
    await desk.look(60)
    assert desk.told == [("line_lost", "console")], "once"
    desk.consoles = [Listening(ALL, True)]
    await desk.look(61)
    assert desk.told[1:] == [("line_restored", "console")]
    desk.consoles = []
    await desk.look(62)
    await desk.look(91)
    assert len(desk.told) == 2, "the half minute begins anew"
    await desk.look(92)
    assert desk.told[-1] == ("line_lost", "console")


async def test_a_short_silence_is_nothing() -> None:
    desk = Desk(OPERATOR)
    await desk.look(0)
    desk.consoles = [Listening(ALL, True)]
    await desk.look(29)
    desk.consoles = []
    await desk.look(31)
    await desk.look(60)
    assert desk.told == []


async def test_each_area_with_people_of_its_own_needs_ears() -> None:
    desk = Desk(OPERATOR, OF_TOWN)
    assert desk.ears.wanted() == ["", "haishiwan"]
    desk.consoles = [Listening(frozenset(("pingan",)), True)]
    assert desk.ears.heard() == {"": 1, "haishiwan": 0}
    await desk.look(0)
    await desk.look(30)
    assert desk.told == [("line_lost", "console:haishiwan")]
    desk.consoles = [Listening(frozenset(("honggu",)), True)]
    assert desk.ears.heard() == {"": 1, "haishiwan": 1}, "who hears the district hears its towns"
    await desk.look(31)
    assert desk.told[-1] == ("line_restored", "console:haishiwan")


async def test_an_area_that_needs_nobody_any_more_is_at_peace() -> None:
    desk = Desk(OF_TOWN)
    await desk.look(0)
    await desk.look(30)
    assert {line for _, line in desk.told} == {"console", "console:haishiwan"}
    desk.accounts = Accounts((OPERATOR,))
    await desk.look(31)
    assert desk.told[2:] == [("line_restored", "console:haishiwan")]


async def test_a_store_that_is_down_hears_of_it_later() -> None:
    desk = Desk(OPERATOR)
    desk.is_down = True
    await desk.look(0)
    await desk.look(30)
    assert desk.told == []
    desk.is_down = False
    await desk.look(32)
    assert desk.told == [("line_lost", "console")]


async def test_what_was_told_before_a_restart_ends_after_it() -> None:
    desk = Desk(OPERATOR, OF_TOWN)
    desk.ears.restore(["console:haishiwan"])
    desk.consoles = [Listening(ALL, True)]
    await desk.look(0)
    assert desk.told == [("line_restored", "console:haishiwan")]


WALL = Account(login="wall", name="Wall", role=AccountRole.WALL)
GONE = Account(login="gone", name="Gone", role=AccountRole.OPERATOR, disabled=True)


@pytest.mark.parametrize("accounts", [(), (WALL,), (GONE,)])
async def test_before_there_is_anybody_who_could_hear_nobody_must(accounts: tuple[Account, ...]) -> None:
    desk = Desk(*accounts)
    await desk.look(0)
    await desk.look(100)
    assert desk.told == []


@pytest.mark.parametrize("config", [ConsoleConfig(accounts=False), ConsoleConfig(no_ears_s=0)])
async def test_it_is_switched_off_by_configuration(config: ConsoleConfig) -> None:
    async def never(_: float) -> None:
        raise AssertionError("it looks")

    await Desk(OPERATOR, config=config).ears.run(never)


def test_then_those_are_told_who_can_be_reached() -> None:
    room = Room()
    detail = {"reason": "no_ears", "mandatory": True, "area": "haishiwan"}
    room.event(Kind.LINE_LOST, None, line="console:haishiwan", detail=detail)
    (incident,) = room.working.open_incidents
    assert (incident.severity, incident.area) == (Severity.CRITICAL, "haishiwan")
    room.advance(seconds=1)
    with pytest.raises(Refused, match="not_shelvable"):
        room.do("shelve", incident.id, until=(room.now + timedelta(hours=1)).isoformat(), reason="quiet")
    (incident,) = room.working.open_incidents
    assert {notice.to for notice in incident.notices} == {"responder:station-7", "responder:district"}
    room.advance(minutes=20)
    (incident,) = room.working.open_incidents
    assert sum(notice.to == "responder:district" for notice in incident.notices) == 5, "again, as long as nobody takes it"
    room.event(Kind.LINE_RESTORED, None, line="console:haishiwan", phase=Phase.STATE)
    (incident,) = room.working.open_incidents
    assert Flag.ENDED in incident.flags
    assert incident.state is State.RAISED, "somebody looks why"
    told = len(incident.notices)
    room.do("acknowledge", incident.id)
    room.advance(minutes=2)
    assert len(next(room.working.open_incidents).notices) == told
