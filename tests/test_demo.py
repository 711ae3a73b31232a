"""The demo's own configuration and register, and what it sees from outside: `gateway check` has nothing against the one, the other counts right."""

import asyncio
import csv
import json
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from servers import program

from gateway import cli
from gateway.demo import DIALLED, OWN, PANEL_KEY, write_config
from gateway.demo.evening import TEN
from gateway.demo.outside import City, Told
from gateway.demo.setting import AGENTS, COMPANY, DOCTOR, NEIGHBOUR
from gateway.demo.stage import Stage
from gateway.demo.words import WORDS
from simulators.neighbourhood import KEY, PORTS
from simulators.scenario import find_scenario, load_scenario

SHIPPED = Path(__file__).parents[1] / "config" / "districts"
EVENING = load_scenario(find_scenario("evening_in_honggu"))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    ports = {line: 20_000 + number for number, line in enumerate((*DIALLED, *OWN))}
    return write_config(SHIPPED, tmp_path, "mqtt://127.0.0.1:1883", ports, "en")


def rows(config: Path, table: str) -> dict[str, dict[str, str]]:
    with (config.parent / f"districts/honggu/{table}.csv").open(encoding="utf-8") as file:
        return {row.get("id", row.get("person", "")): row for row in csv.DictReader(file)}


def test_the_configuration_of_the_demo_can_be_used(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "--config", str(config), "--lang", "en"]) == 0
    told = capsys.readouterr().out
    assert "can be used" in told
    assert "which the configuration does not have" not in told
    behind = [row for row in rows(config, "devices").values() if row["via"]]
    assert {(row["class"], row["via"]) for row in behind} == {("pendant", "gw-hualong")}
    assert len(behind) == 12
    assert sum(row["watch"] == "alone" for row in rows(config, "persons").values()) == 4


def test_the_register_has_what_the_named_parts_need(config: Path) -> None:
    """The evening names four persons and whom it expects at their doors: all of them are there, and have what their story is about."""
    persons, responders = rows(config, "persons"), rows(config, "responders")
    parts = {cast.name: cast.person for cast in EVENING.cast if cast.person}
    assert "living_alone" in persons[parts["ill"]]["risks"]
    assert persons[parts["ill"]]["doctor"] == "doctor-demo"
    assert rows(config, "contacts")[parts["ill"]]["tell"] == "alarm;coming;over"
    wanted = {do.see.responder for do in EVENING.do if do.see is not None and do.see.responder}
    assert wanted == {"station-u03", "provider-good", "provider-near", "provider-link"}
    assert wanted <= responders.keys()
    assert {row["phone"] for row in responders.values() if row["channel"] == "sms"} == {COMPANY, NEIGHBOUR, DOCTOR}
    stars = {name: row["grade"] for name, row in rows(config, "providers").items()}
    assert stars["provider-good"] > stars["provider-near"]


def test_demo_and_simulators_mean_the_same_lines_and_key(config: Path) -> None:
    assert set(DIALLED) == set(PORTS.values())
    assert bytes.fromhex(PANEL_KEY) == KEY
    assert len(AGENTS) == EVENING.agents == len(tomllib.loads(config.read_text("utf-8"))["calls"]["agents"])


def test_both_languages_say_the_same_things() -> None:
    assert WORDS["en"].keys() == WORDS["zh-CN"].keys()


@pytest.mark.parametrize("name", ["last_place_provider", "municipal_down"])
async def test_a_scenario_alone_has_a_configuration_that_can_be_used(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the district that it amends, and with all that it says the gateway must have."""
    assert program("faketime")
    file = SHIPPED.parents[1] / "simulators" / "scenarios" / f"{name}.toml"
    stage = Stage(tmp_path, SHIPPED, file, None, 12349, "en")
    await stage.prepare("mqtt://127.0.0.1:1883")
    assert cli.main(["check", "--config", str(stage.config), "--lang", "en"]) == 0
    assert "can be used" in capsys.readouterr().out
    assert (stage.now() - datetime.now(UTC)).days >= 6, "on a Tuesday to come"


def test_all_ten_are_there() -> None:
    assert len(set(TEN)) == 10
    assert all(load_scenario(find_scenario(name)) for name in TEN)


async def heard(*said: Mapping[str, object]) -> tuple[Told, list[str]]:
    lines: list[str] = []
    told = Told(WORDS["en"], lines.append)
    reader = asyncio.StreamReader()
    reader.feed_data("".join(json.dumps(one) + "\n" for one in said).encode() + b"no JSON\n")
    reader.feed_eof()
    await told.follow(reader)
    return told, lines


async def test_what_the_telephones_heard_is_said_and_counted() -> None:
    page = "http://127.0.0.1:1/abc"
    pressed = ({"to": NEIGHBOUR, "link": page, "pressed": word, "status": 200} for word in ("open", "accept", "arrived"))
    told, lines = await heard(
        {"to": NEIGHBOUR, "text": f"call for help I100004: somebody. See and answer: {page}", "link": page},
        *pressed,
        {"to": DOCTOR, "text": "Medical help I100004", "link": ""},
        {"to": "+8617400300580", "text": "called for help", "link": ""},
        {"to": COMPANY, "text": "I100003", "link": "http://127.0.0.1:1/def"},
    )
    assert all(told.expectations.values())
    assert told.incident == "I100004"
    assert any("http://127.0.0.1:1/def" in line for line in lines)


async def test_a_page_that_refuses_is_no_answer() -> None:
    page = "http://127.0.0.1:1/abc"
    pressed = ({"to": NEIGHBOUR, "link": page, "pressed": word, "status": 404} for word in ("open", "accept", "arrived"))
    told, _ = await heard({"to": NEIGHBOUR, "text": "I100004", "link": page}, *pressed)
    assert not any(told.expectations.values())


async def test_the_city_that_does_not_answer_is_not_equal(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was away, and is back as far as the figures go; but nobody answers when it is asked what it has."""
    monkeypatch.setattr("gateway.demo.outside.TRIES", 1)
    monkeypatch.setattr("gateway.demo.outside.PAUSE_S", 0.0)
    lines: list[str] = []
    city = City(config, WORDS["en"], lines.append)
    city.look({'gateway_upward_lag_entries{to="city"}': 0.0, 'gateway_upward_lag_seconds{to="city"}': 0.0})
    assert city.expectations == {"city_away": False, "city_equal": False}
    city.look({'gateway_upward_lag_entries{to="city"}': 7.0, 'gateway_upward_lag_seconds{to="city"}': 9.0})
    city.look({'gateway_upward_lag_entries{to="city"}': 0.0, 'gateway_upward_lag_seconds{to="city"}': 0.0})
    await city.end()
    assert city.expectations == {"city_away": True, "city_equal": False}
    assert "NOT EQUAL" in lines[-1]
