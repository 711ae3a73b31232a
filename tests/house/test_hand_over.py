"""Two whole gateways, each a hotline, hand matters to one another over real HTTP: down, restarted, refusing, giving back."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from waiting import free_port, wait_until

from gateway.app import House
from gateway.config import read_config
from gateway.core.command import Command
from gateway.core.incident import Action, Incident, Outcome, State
from gateway.core.register import Register, Responder, ResponderKind
from gateway.event import Event, Kind, Phase

CALLER = "+8617400000021"
SECRET = "an invented secret of two hotlines"
REGISTER = Register(district="invented", responders=[Responder(id="desk", name="desk", kind=ResponderKind.DESK, channel="console")], version="test")


class Hotline:
    """The folder of one gateway, its number and its neighbour's."""

    def __init__(self, folder: Path, number: str, port: int, neighbour: str, neighbour_port: int, secret: str = SECRET) -> None:
        self.number = number
        (folder / "districts" / "honggu").mkdir(parents=True)
        (folder / "var").mkdir()
        (folder / "neighbour.secret").write_text(secret)
        self.config = folder / "gateway.toml"
        self.config.write_text(
            f'[gateway]\ndata = "var"\n[console]\naccounts = false\nlisten = "127.0.0.1:{port}"\n[calls]\nhotlines = ["{number}", "{neighbour}"]\n'
            f'[[hotline]]\nnumber = "{neighbour}"\nsecret_file = "neighbour.secret"\n'
            f'hand_over = "http://127.0.0.1:{neighbour_port}/api/v1/hand-overs"\n'
        )

    @contextlib.asynccontextmanager
    async def runs(self) -> AsyncIterator[House]:
        house = House(read_config(self.config), REGISTER)
        stop = asyncio.Event()
        running = asyncio.create_task(house.run(stop))
        try:
            await wait_for_port(house, running)
            yield house
        finally:
            stop.set()
            await running


async def wait_for_port(house: House, running: "asyncio.Task[None]") -> None:
    """Until the console answers: everything else stands by then."""
    host, _, port = house.config.console.listen.rpartition(":")
    for _ in range(1000):
        assert not running.done(), running.exception()
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(host, int(port))
            writer.close()
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the console never answered")


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Hotline, Hotline]:
    ours, theirs = free_port(), free_port()
    return Hotline(tmp_path / "a", "12349", ours, "12345", theirs), Hotline(tmp_path / "b", "12345", theirs, "12349", ours)


async def steps(house: House, number: str, *kinds: Kind) -> None:
    now = house.now()
    detail: dict[str, object] = {"call": "c1", "hotline": number, "caller_e164": CALLER, "caller": CALLER, "agent": "8001"}
    for kind in kinds:
        await house.receive([Event(kind=kind, phase=Phase.STATE, line="pbx", received_at=now, occurred_at=now, detail=detail)])


async def answered(house: House, number: str) -> Incident:
    """A call is answered at this hotline, taken by Li Na, and over."""
    await steps(house, number, Kind.CALL_OFFERED, Kind.CALL_ANSWERED, Kind.CALL_ENDED)
    (name,) = house.incidents
    incident = await house.command(Command(action=Action.ACKNOWLEDGE, actor="Li Na", incident=name))
    assert incident is not None
    return incident


async def hand_over(house: House, name: str, to: str, actor: str = "Li Na") -> Incident:
    incident = await house.command(Command(action=Action.HAND_OVER, actor=actor, incident=name, facts={"to": to, "note": "a hole in the road"}))
    assert incident is not None
    return incident


def only(house: House) -> Incident:
    (incident,) = house.incidents.values()
    return incident


async def test_a_matter_goes_over_with_its_record_and_comes_back_with_its_number(pair: tuple[Hotline, Hotline]) -> None:
    async with pair[0].runs() as ours, pair[1].runs() as theirs:
        mine = await answered(ours, "12349")
        handed = await hand_over(ours, mine.id, "12345")
        await wait_until(lambda: only(ours).state is State.RESOLVED, "they have it")
        received = only(theirs)
        assert (received.tracking, received.caller, received.hotline, received.handed.theirs) == (handed.tracking, CALLER, "12345", mine.id)
        assert (only(ours).outcome, only(ours).handed.theirs) == (Outcome.HANDED_OVER, received.id)
        await theirs.command(Command(action=Action.ACKNOWLEDGE, actor="Zhou", incident=received.id))
        await hand_over(theirs, received.id, "12349", "Zhou")
        await wait_until(lambda: only(theirs).state is State.RESOLVED, "we have it again")
        assert (only(ours).id, only(ours).state, only(ours).tracking, only(ours).handed.theirs) == (
            mine.id,
            State.RAISED,
            handed.tracking,
            received.id,
        )
        count = ours.metrics.registry.get_sample_value
        assert count("gateway_hand_overs_total", {"hotline": "12345", "result": "accepted"}) == 1
        assert count("gateway_incidents_unaccounted") == 0


async def test_a_neighbour_that_is_down_gets_it_once_when_it_is_back_although_we_started_again(pair: tuple[Hotline, Hotline]) -> None:
    async with pair[0].runs() as ours:
        mine = await answered(ours, "12349")
        handed = await hand_over(ours, mine.id, "12345")
        await wait_until(
            lambda: ours.metrics.registry.get_sample_value("gateway_hand_overs_total", {"hotline": "12345", "result": "retried"}), "tried"
        )
        assert only(ours).state is State.ACKNOWLEDGED, "ours until they have it"
    async with pair[1].runs() as theirs, pair[0].runs() as ours:
        await wait_until(lambda: only(ours).state is State.RESOLVED, "they have it")
        assert only(theirs).tracking == handed.tracking
        assert only(theirs).handed.delivery == handed.handed.delivery
        assert only(theirs).entries == 1


async def test_a_neighbour_that_does_not_know_our_secret_refuses_and_it_stays_ours(tmp_path: Path) -> None:
    ports = free_port(), free_port()
    ours_folder = Hotline(tmp_path / "a", "12349", ports[0], "12345", ports[1], secret="a secret nobody shares")
    async with ours_folder.runs() as ours, Hotline(tmp_path / "b", "12345", ports[1], "12349", ports[0]).runs() as theirs:
        mine = await answered(ours, "12349")
        await hand_over(ours, mine.id, "12345")
        await wait_until(lambda: only(ours).handed.state == "failed", "refused")
        assert (only(ours).handed.reason, only(ours).state, theirs.incidents) == ("http_401", State.ACKNOWLEDGED, {})


async def test_a_start_knows_the_calls_of_the_day(pair: tuple[Hotline, Hotline]) -> None:
    share = {"hotline": "12349", "profile": "gbt33358", "within": "15"}
    for begins in (True, False):
        async with pair[0].runs() as ours:
            if begins:
                await steps(ours, "12349", Kind.CALL_OFFERED, Kind.CALL_ANSWERED, Kind.CALL_ENDED)
            assert ours.metrics.registry.get_sample_value("gateway_call_answered_share", share) == 1.0
            assert ours.metrics.registry.get_sample_value("gateway_calls_total", {"hotline": "12349", "outcome": "answered"}) == float(begins)
