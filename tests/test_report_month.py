"""The monthly report: every figure equals what plain SQL finds, a past month stays what it was, the page says it all in both languages."""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from gateway.cli import main
from gateway.core import decide
from gateway.core.duty import CHINA
from gateway.core.incident import Action
from gateway.core.requests import request_event
from gateway.core.state import Draft
from gateway.event import ALARM_KINDS, Kind
from gateway.incident_clocks import ARRIVE, CALL_BACK, INFORM, TAKE, IncidentClocks
from gateway.report.figures import Month, rows
from gateway.report.month import last_month, month_of
from gateway.report.month_page import page
from gateway.service_level import ServiceLevels, report
from gateway.store.store import Batch, Store
from tests.core.room import Room

MARCH = datetime(2026, 3, 1, tzinfo=CHINA), datetime(2026, 4, 1, tzinfo=CHINA)
PROFILES = IncidentClocks().profiles


class Street(Room):
    """A room whose orders leave at once, and whose journal is written down as it grows."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store
        self.written = 0

    def write(self) -> None:
        self.store.write(Batch(records=self.records[self.written :], incidents=list(self.working.incidents.values())))
        self.written = len(self.records)

    def at(self, day: int, hour: int, month: int = 3) -> None:
        """Let time pass until then."""
        until = datetime(2026, month, day, hour, tzinfo=CHINA).astimezone(UTC)
        self.advance(seconds=(until - self.now).total_seconds())

    def helped(self, person: str, device: str, arrive_min: float, satisfaction: int, kind: Kind = Kind.SOS) -> None:
        """Pressed, accepted after half a minute, there, over, rung back two hours later."""
        self.event(kind, device)
        name = next(one.id for one in self.working.open_incidents if one.person == person and one.kind is kind)
        leg = self.working.incidents[name].legs[0]
        self.advance(seconds=30)
        self.answer(leg.responder, "accept", leg.delivery)
        self.advance(minutes=arrive_min)
        self.answer(leg.responder, "arrived", leg.delivery)
        self.do(Action.ACKNOWLEDGE, name)
        self.do(Action.RESOLVE, name, outcome="helped")
        self.advance(minutes=120)
        self.do(Action.CALL_BACK, name, satisfaction=satisfaction)


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Street]:
    """Two months of an invented town: some helped in time, one late, one declined, one over the end of the month."""
    store = Store("sqlite:///gateway.db", tmp_path)
    store.open()
    room = Street(store)
    room.helped("wang", "w-wang", 8, 5)
    room.at(15, 9)
    room.helped("li", "w-li", 22, 3, Kind.FALL)
    room.at(20, 23)
    room.press("w-wang")
    leg = next(one for one in room.working.open_incidents).legs[0]
    room.answer(leg.responder, "decline", leg.delivery)
    room.at(31, 22)
    room.event(Kind.SMOKE, "lobby")
    room.event(Kind.LOW_BATTERY, "w-li")
    room.write()
    room.at(1, 1, month=4)
    smoke = next(one for one in room.working.open_incidents if one.kind is Kind.SMOKE)
    leg = smoke.legs[-1]
    room.answer(leg.responder, "accept", leg.delivery)
    room.advance(minutes=5)
    room.answer(leg.responder, "arrived", leg.delivery)
    room.helped("zhao", "w-zhao", 3, 4)
    room.write()
    yield room
    store.close()


def sql(room: Street, statement: str) -> list[Any]:
    engine = create_engine(room.store.engine.url)
    try:
        with engine.connect() as connection:
            since, until = (int(at.timestamp()) * 1_000_000 for at in MARCH)
            kinds = ",".join(f"'{kind}'" for kind in ALARM_KINDS)
            filled = statement.replace("{in_march}", f"between {since} and {until - 1}").replace("{alarms}", f"({kinds})")
            return list(connection.execute(text(filled)))
    finally:
        engine.dispose()


def march(room: Street) -> Month:
    return month_of((room.store,), room.working.register, *MARCH, 900.0)


FIRST = """
    select incident, min(at) as first from journal where kind in ({kinds}) {more} and incident in
    (select 'I' || number from incident where kind in {{alarms}}) group by incident having min(at) {{in_march}}
"""


def first(kinds: str, more: str = "") -> str:
    return FIRST.format(kinds=kinds, more=more)


def test_every_count_is_what_sql_finds(street: Street) -> None:
    month = march(street)
    opened = "from incident where kind in {alarms} and opened_at {in_march}"
    assert month.alarms == sql(street, f"select count(*) {opened}")[0][0] == 4
    assert sorted(month.by_kind.items()) == [tuple(row) for row in sql(street, f"select kind, count(*) {opened} group by kind order by kind")]
    assert sorted(month.by_severity.items()) == [
        tuple(row) for row in sql(street, f"select severity, count(*) {opened} group by severity order by 1")
    ]
    days = "cast(strftime('%d', opened_at / 1000000 + 28800, 'unixepoch') as int)"
    assert sorted(month.by_day.items()) == [tuple(row) for row in sql(street, f"select {days}, count(*) {opened} group by 1 order by 1")]
    hours = days.replace("%d", "%H")
    assert sorted(month.by_hour.items()) == [tuple(row) for row in sql(street, f"select {hours}, count(*) {opened} group by 1 order by 1")]
    areas = "coalesce(json_extract(body, '$.area'), '-')"
    assert sorted(month.by_area.items()) == [tuple(row) for row in sql(street, f"select {areas}, count(*) {opened} group by 1 order by 1")]
    assert month.cries == sql(street, "select count(*) from journal where kind in {alarms} and phase = 'raise' and at {in_march}")[0][0]
    for name, kind in (("loop", "kind"), ("outcomes", "json_extract(facts, '$.outcome')"), ("escalations", "json_extract(facts, '$.reason')")):
        which = {"loop": "('resolve','call_back','waive','complain','handle')", "outcomes": "('resolve')", "escalations": "('escalate')"}[name]
        found = sql(street, f"select {kind}, count(*) from journal where kind in {which} and at {{in_march}} group by 1 order by 1")
        assert sorted(getattr(month, name).items()) == [tuple(row) for row in found], name
    marks = "json_extract(facts, '$.satisfaction')"
    found = sql(
        street, f"select {marks}, count(*) from journal where kind = 'call_back' and {marks} is not null and at {{in_march}} group by 1 order by 1"
    )
    assert sorted(month.satisfaction.items()) == [tuple(row) for row in found]
    assert month.mean_satisfaction == 4.0
    assert dict(month.devices) == {"low_battery": 1}


def test_every_clock_is_what_sql_finds(street: Street) -> None:
    month = march(street)
    is_order = (
        "and json_extract(facts, '$.delivery') is not null and json_extract(facts, '$.notice') is null and json_extract(facts, '$.told') is null"
    )
    for clock, statement in ((TAKE, first("'acknowledge','accept'")), (INFORM, first("'sent'", is_order))):
        found = sql(street, f"select (f.first - i.opened_at) / 1e6 from ({statement}) f join incident i on f.incident = 'I' || i.number")
        assert sorted(month.clocks[clock].seconds) == sorted(row[0] for row in found), clock
    arrivals = f"""
        select (min(a.at) - min(s.at)) / 1e6 from ({first("'arrived'")}) f
        join journal a on a.incident = f.incident and a.kind = 'arrived' and a.at = f.first
        join journal s on s.kind = 'sent' and json_extract(s.facts, '$.delivery') = json_extract(a.facts, '$.detail.delivery') group by f.incident"""
    assert sorted(month.clocks[ARRIVE].seconds) == sorted(row[0] for row in sql(street, arrivals)) == [510.0, 1350.0]
    back = """
        select (c.at - (select max(r.at) from journal r where r.incident = c.incident and r.kind = 'resolve' and r.seq < c.seq)) / 1e6
        from journal c where c.kind = 'call_back' and c.at {in_march}"""
    assert sorted(month.clocks[CALL_BACK].seconds) == sorted(row[0] for row in sql(street, back)) == [7200.0, 7200.0]
    assert month.clocks[ARRIVE].within(900) == 1


def test_orders_and_responders_are_what_sql_finds(street: Street) -> None:
    month = march(street)
    ordered = sql(street, first("'dispatch'"))
    assert month.ordered == len(ordered)
    beyond = """
        select count(*) from ({first}) f join journal d on d.incident = f.incident and d.kind = 'dispatch' and d.at = f.first
        where coalesce(json_extract(d.facts, '$.decision.travel_min'), 999) > 15""".replace("{first}", first("'dispatch'"))
    assert month.beyond == sql(street, beyond)[0][0]
    for kind in ("accept", "decline", "expired", "arrived"):
        who = "coalesce(device, json_extract(facts, '$.responder'))"
        found = sql(street, f"select {who}, count(*) from journal where kind = '{kind}' and at {{in_march}} group by 1 order by 1")
        mine = sorted((name, one.answers[Kind(kind)]) for name, one in month.responders.items() if one.answers[Kind(kind)])
        assert mine == [tuple(row) for row in found], kind
    assert sum(one.arrived for one in month.responders.values()) == 2


def test_a_past_month_stays_what_it_was(street: Street) -> None:
    """Complaints, call-backs and whole other months later: not one figure of March moves."""
    before = list(rows(march(street), PROFILES))
    wang = next(one for one in street.working.incidents.values() if one.person == "wang" and not one.is_open)
    street.do(Action.COMPLAIN, wang.id, note="nobody smiled")
    street.at(20, 12, month=4)
    street.write()
    assert list(rows(march(street), PROFILES)) == before


def test_what_began_in_march_and_was_answered_in_april_counts_in_each_where_it_happened(street: Street) -> None:
    april = month_of((street.store,), street.working.register, MARCH[1], MARCH[1] + timedelta(days=30), 900.0)
    assert april.alarms == 1
    assert len(april.clocks[ARRIVE].seconds) == 2, "the smoke of March 31st was reached in April"
    assert len(april.clocks[INFORM].seconds) == 1, "its responder was informed in March already"
    assert march(street).by_day[31] == 1


def test_demand_that_nobody_met_is_counted_by_service_and_town(street: Street) -> None:
    """Three requests in a town without any provider, asked again every hour: three, by service, as SQL finds them; April has none of its own."""
    street.at(2, 9, month=4)
    for person, service in (("wang", "meals"), ("li", "meals"), ("wang", "housekeeping")):
        draft = Draft(street.working)
        event = request_event(person=person, service=service, by="Li Na", now=street.now)
        assert decide.on_event(draft, event, street.now) == "stored"
        street._settle(draft)
    street.advance(minutes=240)
    street.write()
    april = month_of((street.store,), street.working.register, MARCH[1], MARCH[1] + timedelta(days=30), 900.0)
    since, until = (int(at.timestamp()) * 1_000_000 for at in (MARCH[1], MARCH[1] + timedelta(days=30)))
    found = sql(
        street,
        f"""select json_extract(i.body, '$.service'), json_extract(i.body, '$.area'), count(distinct j.incident), count(*) from journal j
        join incident i on j.incident = 'I' || i.number
        where j.kind = 'remind' and json_extract(j.facts, '$.reason') = 'unmatched' and j.at between {since} and {until - 1}
        group by 1, 2 order by 1""",
    )
    assert [tuple(row[:3]) for row in found] == [("housekeeping", "haishiwan", 1), ("meals", "haishiwan", 2)]
    assert sum(row[3] for row in found) > 3, "each was asked for again, and is one request all the same"
    assert sorted((service, area, len(names)) for (service, area), names in april.unmatched.items()) == [tuple(row[:3]) for row in found]
    assert ("unmatched_meals", "haishiwan", "2") in set(rows(april, PROFILES))
    assert march(street).unmatched == {}
    shown = page(april, report((), *MARCH, ServiceLevels((), ())), street.working.register, PROFILES, {}, "en")
    assert "<td>meals</td><td class=n>Haishiwan</td><td class=n>2</td>" in shown


def test_a_street_sees_its_own_month_and_nobody_elses(street: Street) -> None:
    """The owner of a street (domain 6.6) has the figures of its incidents alone; those of the district's areas add up to the whole."""
    whole = march(street)
    areas = {one.area for one in street.working.incidents.values()}
    assert areas == {"haishiwan", None}, "the smoke in the lobby is of no area that anybody knows"
    own = month_of((street.store,), street.working.register, *MARCH, 900.0, "haishiwan")
    numbers = "select 'I' || number from incident where json_extract(body, '$.area') = 'haishiwan'"
    opened = sql(street, f"select count(*) from incident where kind in {{alarms}} and opened_at {{in_march}} and 'I' || number in ({numbers})")
    assert own.alarms == opened[0][0] == whole.alarms - 1
    for kind in ("resolve", "call_back"):
        found = sql(street, f"select count(*) from journal where kind = '{kind}' and at {{in_march}} and incident in ({numbers})")
        assert own.loop[kind] == found[0][0]
    declined = sql(street, f"select count(*) from journal where kind = 'decline' and at {{in_march}} and incident in ({numbers})")
    assert sum(one.answers[Kind.DECLINE] for one in own.responders.values()) == declined[0][0] == 1
    assert own.escalations != whole.escalations
    district = month_of((street.store,), street.working.register, *MARCH, 900.0, "honggu")
    assert (district.alarms, district.cries) == (own.alarms, own.cries), "what lies below an area is its own"
    shown = page(own, None, street.working.register, PROFILES, {}, "en")
    assert "Haishiwan" in shown
    assert "Telephone" not in shown
    assert "--area haishiwan" in shown


def test_the_command_writes_page_and_table(street: Street, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(__file__).parents[1] / "config" / "districts"
    config = tmp_path / "gateway.toml"
    config.write_text(f'[gateway]\ndata = "."\ndistricts = "{folder}"\ndistrict = "honggu"\n', encoding="utf-8")
    html, table = tmp_path / "march.html", tmp_path / "march.csv"
    for language, words in (
        ("zh-CN", ("服务月报", "2026 年 3 月", "十五分钟服务圈", "回访满意度")),
        ("en", ("Monthly report", "March 2026", "The fifteen-minute circle", "Satisfaction")),
    ):
        command = ["report", "month", "2026-03", "--html", str(html), "--csv", str(table), "--language", language, "--config", str(config)]
        assert main(command) == 0
        page = html.read_text("utf-8")
        for word in (*words, "<svg", "</html>"):
            assert word in page
        assert "<script" not in page
        assert "Invented Wang" not in page, "nobody is named"
        assert "w-wang" not in page
    written = list(csv.reader(io.StringIO(table.read_text("utf-8-sig"))))
    assert written[0] == ["section", "key", "value"]
    assert ["alarms", "opened", "4"] in written
    assert ["circle", "arrivals_within", "1"] in written
    assert capsys.readouterr().out == ""
    assert main(["report", "month", "2099-01", "--config", str(config)]) == 1
    assert "has not begun" in capsys.readouterr().err
    assert main(["report", "month", "2026-03", "--area", "nowhere", "--config", str(config)]) == 1
    assert "areas.csv has no such area" in capsys.readouterr().err
    assert main(["report", "month", "2026-03", "--area", "honggu", "--config", str(config)]) == 0
    assert "calls_" not in capsys.readouterr().out


def test_last_month_over_new_year() -> None:
    assert [f"{at:%Y-%m-%d}" for at in last_month(datetime(2026, 12, 31, 16, 30, tzinfo=UTC))] == ["2026-12-01", "2027-01-01"]
