"""Two gateways, after a take-over while the first machine was only out of reach: the older one gives way, the newer one goes on."""

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest
from house import District, House
from prometheus_client import CollectorRegistry
from servers import free_port, until
from starlette.applications import Starlette

from drivers.contract import STORED, Rejected, Verdict
from gateway.cli import GAVE_WAY_STATUS
from gateway.config import Config, read_config
from gateway.console.spare_routes import SpareRoutes
from gateway.errors import GaveWay
from gateway.event import Event, Kind, Phase
from gateway.spare_guard import EQUAL, GAVE_WAY, NEWER, OLDER, SpareGuard, refuse_if_other_runs
from gateway.store import backup
from gateway.store.store import Store
from gateway.store.takeovers import count_takeover, takeovers

TOKEN = "a long random word"


def second_machine(folder: Path, console: str) -> Path:
    """As a take-over leaves it, with the first machine's settings: its `other` is itself."""
    folder.mkdir()
    (folder / "spare.token").write_text(TOKEN + "\n")
    (folder / "gateway.toml").write_text(
        f'[gateway]\ndistrict = "chaos"\ndata = "data"\n[console]\nlisten = "{console.removeprefix("http://")}"\n'
        f'[spare]\ntoken_file = "spare.token"\nother = "{console}"\n'
    )
    District(wearables=2).write(folder / "districts" / "chaos")
    (folder / "data").mkdir()
    store = Store("sqlite:///gateway.db", folder / "data")
    store.open()
    store.close()
    assert count_takeover(folder / "data" / "gateway.db") == 1
    return folder / "gateway.toml"


def told(database: Path) -> list[tuple[str, str]]:
    """(phase, reason) of what the journal says about the other gateway."""
    with backup.reading(database) as connection:
        sql = "SELECT phase, json_extract(facts, '$.detail.reason') FROM journal WHERE kind = 'fault' ORDER BY seq"
        return [tuple(row) for row in connection.execute(sql)]


def started(config: Path, log: Path) -> "subprocess.Popen[bytes]":
    with log.open("wb") as said:
        return subprocess.Popen([sys.executable, "-m", "gateway.cli", "run", "--config", str(config)], stdout=said, stderr=said)


async def test_the_older_of_two_gateways_gives_way_and_the_newer_goes_on(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    there = f"http://127.0.0.1:{free_port()}"
    second = second_machine(tmp_path / "second", there)
    async with House(tmp_path / "first", District(wearables=2)) as house:
        (house.folder / "spare.token").write_text(TOKEN + "\n")
        house.config.write_text(house.config.read_text() + f'[spare]\ntoken_file = "spare.token"\nother = "{there}"\n')
        house.start()
        await house.ready()
        assert house.process is not None
        other = started(second, tmp_path / "second.log")
        try:
            await until(lambda: house.process is not None and house.process.poll() is not None, "the first machine's gateway ends by itself")
            assert house.process.returncode == GAVE_WAY_STATUS
            said = house.log.read_text()
            assert "help is sent from there" in said, said[-2000:]
            assert told(house.folder / "data" / "gateway.db") == [("raise", NEWER)]
            again = await asyncio.to_thread(subprocess.run, house.process.args, capture_output=True, text=True, timeout=60, check=False)
            assert again.returncode == GAVE_WAY_STATUS, "systemd leaves it alone (tests/test_systemd.py)"
            assert "this machine has given way" in again.stderr + again.stdout
            assert other.poll() is None, (tmp_path / "second.log").read_text()
            async with httpx.AsyncClient(base_url=there, trust_env=False) as page:
                assert (await page.get("/readyz")).status_code == 200
            await until(lambda: ("raise", OLDER) in told(tmp_path / "second" / "data" / "gateway.db"), "the desk of the newer one is told")
        finally:
            other.terminate()
            other.wait(30)


# --- the rule, without a wire


class Desk:
    """Takes what the guard tells."""

    def __init__(self) -> None:
        self.told: list[tuple[Phase, object]] = []

    async def receive(self, events: Sequence[Event | Rejected]) -> Sequence[Verdict]:
        for event in events:
            assert isinstance(event, Event)
            self.told.append((event.phase, event.detail["reason"]))
        return [STORED for _ in events]

    async def note(self, kind: Kind, actor: str | None = None, **facts: object) -> None:
        assert kind is Kind.AUDIT


def machine(folder: Path, number: int, token: str = TOKEN) -> tuple[SpareGuard, Desk, Config]:
    folder.mkdir()
    (folder / "spare.token").write_text(token + "\n")
    (folder / "gateway.toml").write_text(
        f'[gateway]\ndistrict = "chaos"\ndata = "."\n[spare]\ntoken_file = "spare.token"\nother = "http://127.0.0.1:{free_port()}"\n'
    )
    District(wearables=2).write(folder / "districts" / "chaos")
    config, desk = read_config(folder / "gateway.toml"), Desk()
    guard = SpareGuard(config, desk.receive, desk.note, CollectorRegistry())
    guard.takeovers = number
    return guard, desk, config


async def look(guard: SpareGuard, other: tuple[SpareGuard, Desk, Config] | None) -> asyncio.Event:
    """Once, over HTTP as it is; None: nobody answers there."""
    routes = [] if other is None else SpareRoutes(other[2], CollectorRegistry(), other[0].answer).routes
    stop = asyncio.Event()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=Starlette(routes=routes))) as client:
        await guard._look(client, stop)
    return stop


@pytest.mark.parametrize(
    ("mine", "theirs", "gives_way", "reason"), [(0, 1, True, NEWER), (1, 0, False, OLDER), (1, 1, False, EQUAL), (9, 10, True, NEWER)]
)
async def test_only_the_older_gives_way(tmp_path: Path, mine: int, theirs: int, gives_way: bool, reason: str) -> None:
    here, there = machine(tmp_path / "here", mine), machine(tmp_path / "there", theirs)
    stop = await look(here[0], there)
    assert (stop.is_set(), bool(here[0].gave_way), here[1].told) == (gives_way, gives_way, [(Phase.RAISE, reason)])
    assert ((Phase.RAISE, OLDER) in there[1].told) is gives_way, "the desk that goes on hears of it"
    assert (tmp_path / "here" / GAVE_WAY).exists() is gives_way
    if gives_way:
        with pytest.raises(GaveWay, match="has given way"):
            refuse_if_other_runs(here[2])


async def test_nobody_gives_way_to_silence_to_itself_or_to_a_word_without_the_token(tmp_path: Path) -> None:
    here = machine(tmp_path / "here", 0)
    liar = machine(tmp_path / "liar", 7, token="another long word of somebody")
    for other in (None, here, liar):
        stop = await look(here[0], other)
        assert (stop.is_set(), here[1].told, here[0].gave_way) == (False, [], "")


async def test_a_word_of_before_proves_nothing(tmp_path: Path) -> None:
    """Who has listened once cannot say it again: the asker's number is in the proof."""
    here, there = machine(tmp_path / "here", 0), machine(tmp_path / "there", 1)
    old = await there[0].answer({"nonce": "0" * 32})
    assert old is not None

    async def said_again(_: object) -> object:
        return old

    liar = machine(tmp_path / "liar", 1)
    liar[0].answer = said_again  # type: ignore[method-assign, assignment]
    stop = await look(here[0], liar)
    assert (stop.is_set(), here[1].told) == (False, [])


async def test_when_the_other_one_is_silent_again_the_incident_ends(tmp_path: Path) -> None:
    here, there = machine(tmp_path / "here", 1), machine(tmp_path / "there", 0)
    for other in (there, there, None, None):
        await look(here[0], other)
    assert here[1].told == [(Phase.RAISE, OLDER), (Phase.CLEAR, OLDER)]


def test_take_overs_are_counted_in_the_database(tmp_path: Path) -> None:
    store = Store("sqlite:///gateway.db", tmp_path)
    store.open()
    assert takeovers(store.engine) == 0
    store.close()
    assert [count_takeover(tmp_path / "gateway.db") for _ in range(2)] == [1, 2]
    store = Store("sqlite:///gateway.db", tmp_path)
    store.open()
    assert takeovers(store.engine) == 2
    store.close()
