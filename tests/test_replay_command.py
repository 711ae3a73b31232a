"""`gateway replay` and `gateway journal decisions` on a journal that was really written: equal, forged, unknown, rehearsed, in words."""

import json
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import text

from gateway.cli import main
from gateway.config.routing import RoutingConfig
from gateway.core.register import Register, ResponderKind
from gateway.core.routing import Router
from gateway.core.state import Record, WorkingSet
from gateway.event import Kind, Phase
from gateway.store import routing_data
from gateway.store.store import Batch, Store
from tests.core.room import Room

DISPATCHES = 4


class Lived:
    """A room whose journal is on disk, with the data of its decisions."""

    def __init__(self, folder: Path) -> None:
        (folder / "districts" / "honggu").mkdir(parents=True)
        self.config = str(folder / "gateway.toml")
        Path(self.config).write_text('[gateway]\ndata = "var"\n', encoding="utf-8")
        self.folder = folder
        self.room = Room()
        self.room.press("w-wang")
        self.room.answer("station-7", "decline")
        self.room.advance(minutes=1)
        self.room.press("w-li")
        self.room.press("lobby")
        self.store = Store("sqlite:///gateway.db", folder / "var")
        self.store.open()
        self.store.write(Batch(records=self.room.records))
        working = self.room.working
        routing_data.keep(self.store.engine, working.router, working.register, self.room.now)
        self.store.close()

    @property
    def decided(self) -> list[Record]:
        return [record for record in self.room.records if b'"decision":{' in record.facts]

    def forge(self, old: str, new: str) -> None:
        """Somebody rewrites what was decided."""
        with Store("sqlite:///gateway.db", self.folder / "var").engine.begin() as connection:
            done = connection.execute(
                text("UPDATE journal SET facts = replace(facts, :old, :new) WHERE facts LIKE '%\"decision\":{%'"), {"old": old, "new": new}
            )
            assert done.rowcount


@pytest.fixture
def lived(tmp_path: Path) -> Lived:
    return Lived(tmp_path)


def test_the_past_comes_out_equal(lived: Lived, capsys: pytest.CaptureFixture[str]) -> None:
    number = len(lived.decided)
    assert number >= DISPATCHES
    assert main(["replay", "--config", lived.config]) == 0
    assert capsys.readouterr().out == f"{number} decisions made again: {number} equal, 0 differ\n"


def test_a_decision_that_was_forged_differs_and_is_named(lived: Lived, capsys: pytest.CaptureFixture[str]) -> None:
    lived.forge('"verdict":"chosen","km":0.129', '"verdict":"chosen","km":0.001')
    assert main(["replay", "--config", lived.config]) == 1
    out = capsys.readouterr().out
    assert "differs in candidates (station-7, made again station-7)" in out
    assert "I100001" in out


def test_a_period_and_an_incident_can_be_chosen(lived: Lived, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "--config", lived.config, "--until", "2026-03-14"]) == 0
    assert capsys.readouterr().out.startswith("0 decisions")
    assert main(["replay", "--config", lived.config, "--since", "2026-03-14", "--incident", "I100002", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["incident"] for line in lines[:-1]} == {"I100002"}
    assert lines[-1]["sum"]["equal"] == len(lines) - 1
    assert main(["replay", "--config", lived.config, "--since", "yesterday"]) == 1
    assert "--since 'yesterday' is no day" in capsys.readouterr().err


def test_what_cannot_be_made_again_is_told_with_the_reason(lived: Lived, capsys: pytest.CaptureFixture[str]) -> None:
    with Store("sqlite:///gateway.db", lived.folder / "var").engine.begin() as connection:
        connection.execute(text("DELETE FROM routing_data"))
    assert main(["replay", "--config", lived.config]) == 0
    said = capsys.readouterr()
    assert said.out.endswith("0 decisions made again: 0 equal, 0 differ\n")
    assert f"{len(lived.decided)} cannot be made again (no_data)" in said.err


def test_a_decision_of_other_rules_in_code_is_not_held_against_these(lived: Lived, capsys: pytest.CaptureFixture[str]) -> None:
    rules = lived.room.working.router.rules
    lived.forge(f'"rules":"{rules}"', f'"rules":"0{rules[1:]}"')
    with Store("sqlite:///gateway.db", lived.folder / "var").engine.begin() as connection:
        connection.execute(text("UPDATE routing_data SET version = '0' || substr(version, 2) WHERE version LIKE '1-%'"))
    assert main(["replay", "--config", lived.config]) == 0
    assert "(other_pass)" in capsys.readouterr().err


def test_a_rule_is_rehearsed_on_what_has_happened(lived: Lived, capsys: pytest.CaptureFixture[str]) -> None:
    rules = lived.folder / "slower.toml"
    rules.write_text("[routing]\ncircle_min = 0.6\nequal_min = 0.1\n", encoding="utf-8")
    assert main(["replay", "--config", lived.config, "--rules", str(rules), "--json"]) == 0
    summed = json.loads(capsys.readouterr().out.splitlines()[-1])["sum"]
    assert summed["would_be_beyond_circle"] > summed["beyond_circle"]
    rules.write_text("[routing]\ncircle = 0.6\n", encoding="utf-8")
    assert main(["replay", "--config", lived.config, "--rules", str(rules)]) == 2
    assert "routing.circle: is not known" in capsys.readouterr().err


def test_another_register_is_rehearsed_and_minutes_are_summed(lived: Lived, capsys: pytest.CaptureFixture[str]) -> None:
    folder = lived.folder / "districts" / "nearer"
    folder.mkdir()
    write_district(folder, "new,新驿站,station,desk,honggu,36.3401,102.8801,,,9,console,,,15")
    assert main(["replay", "--config", lived.config, "--register", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "station-7 (0.7 min) → new (0 min, nearest)" in out
    assert "would send somebody else" in out.splitlines()[-1]


def test_old_decisions_are_made_again_after_the_register_has_changed(lived: Lived, capsys: pytest.CaptureFixture[str]) -> None:
    before = lived.room.working.register
    moved = [msgspec.structs.replace(one, capacity=9) if one.kind is ResponderKind.STATION else one for one in before.responders.values()]
    after = Register(responders=moved, areas=before.areas.values(), persons=before.persons.values(), devices=before.devices, version="later")
    room = lived.room
    room.records.clear()
    room.working.use(after, room.now)
    room.now += timedelta(minutes=20)
    room.event(Kind.SOS, "w-li", phase=Phase.RAISE)
    store = Store("sqlite:///gateway.db", lived.folder / "var")
    store.open()
    store.write(Batch(records=room.records))
    routing_data.keep(store.engine, room.working.router, after, room.now)
    routing_data.keep(store.engine, room.working.router, after, room.now)  # once more changes nothing
    with store.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM routing_data")) == 3  # two registers, one [routing]
    store.close()
    assert main(["replay", "--config", lived.config]) == 0
    assert "0 differ" in capsys.readouterr().out


def test_new_figures_are_kept_beside_the_old_ones(tmp_path: Path) -> None:
    store = Store("sqlite:///gateway.db", tmp_path)
    store.open()
    room = Room()
    for rules in (RoutingConfig(), RoutingConfig(detour=1.5)):
        routing_data.keep(store.engine, Router(room.working.register, rules), room.working.register, room.now)
    for rules in (RoutingConfig(), RoutingConfig(detour=1.5)):
        assert routing_data.read_rules(store.engine, WorkingSet(room.working.register, routing=rules).router.rules) == rules
    store.close()


@pytest.mark.parametrize(
    ("language", "words"), [("en", ("station-7", "nearest", "chosen", "(estimate)")), ("zh-CN", ("就近", "选中", "估算", "跌倒"))]
)
def test_every_decision_of_an_incident_is_told_in_words(
    lived: Lived, language: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    lived.forge('"kind":"sos"', '"kind":"fall"')
    write_district(lived.folder / "districts" / "honggu")
    assert main(["journal", "decisions", "I100001", "--config", lived.config, "--language", language]) == 0
    out = capsys.readouterr().out
    assert all(word in out for word in words), out
    assert main(["journal", "decisions", "I9", "--config", lived.config]) == 1


def write_district(folder: Path, *responders: str) -> None:
    """A district of one desk, and whom the test wants."""
    (folder / "district.toml").write_text(f'name = "{folder.name}"\n', encoding="utf-8")
    (folder / "areas.csv").write_text("id,name,kind,parent,lat,lon\nhonggu,红古区,district,,,\n", encoding="utf-8")
    header = "id,name,kind,parent,areas,lat,lon,skills,hours,capacity,channel,address,phone,speed_kmh"
    (folder / "responders.csv").write_text("\n".join((header, "desk,坐席,desk,,,,,,,1000,console,,,", *responders)) + "\n", encoding="utf-8")
    for name, columns in (
        ("persons", "id,name,born,area,home,address,lat,lon,phones,ability"),
        ("devices", "id,line,person,home,area,place,lat,lon"),
        ("contacts", "person,name,relation,phone"),
    ):
        (folder / f"{name}.csv").write_text(columns + "\n", encoding="utf-8")
