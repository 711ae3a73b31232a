"""Incidents as CAP 1.2 alerts: against the schema of OASIS (tests/vectors/cap), read by the library's parser and by our own reader of CAP."""

import xml.etree.ElementTree as xml
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import xmlschema

from gateway.console.cap import NAMESPACE, cap_alert
from gateway.core.incident import Flag, Incident, Outcome, State
from gateway.core.register import Area, AreaKind, Person, Register
from gateway.event import KINDS, Group, Kind, Position, Severity

NOW = datetime(2025, 3, 2, 10, 0, tzinfo=UTC)
SCHEMA = xmlschema.XMLSchema(str(Path(__file__).parents[1] / "vectors/cap/CAP-v1.2.xsd"))
REGISTER = Register(
    district="honggu",
    name="红古区",
    names={"zh-CN": "红古区", "en": "Honggu"},
    persons=[Person(id="p-1", name="王秀兰", address="红古路12号", phones=("+8617400000003",), lat=36.34123, lon=102.86456)],
    areas=[Area(id="a-1", name="海石湾 <&> 镇", kind=AreaKind.STREET, lat=36.3, lon=102.8)],
)
NAMES = {kind.value: kind.value for kind in Kind}


def incident(**more: object) -> Incident:
    facts: dict[str, object] = {
        "id": "I20250302-0001", "key": "person:p-1", "kind": Kind.SOS, "severity": Severity.CRITICAL, "state": State.RAISED, "person": "p-1",
        "opened_at": NOW, "changed_at": NOW, "last_event_at": NOW, "ts": 0, "area": "a-1", "caller": "+8617400000003",
        "position": Position(lat=36.34123, lon=102.86456),
    }  # fmt: skip
    return Incident(**(facts | more))  # type: ignore[arg-type]


def alert(one: Incident, to: str = "", language: str = "zh-CN") -> bytes:
    return cap_alert(one, REGISTER, "12349@honggu", to, NOW + timedelta(minutes=5), NAMES, language)


def value(made: bytes, path: str) -> str | None:
    return xml.fromstring(made).findtext("/".join(f"{{{NAMESPACE}}}{name}" for name in path.split("/")))


@pytest.mark.parametrize("kind", [kind for kind, facts in KINDS.items() if facts.group not in (Group.PEOPLE, Group.MACHINE, Group.LIFE)])
def test_every_kind_is_valid(kind: Kind) -> None:
    made = alert(incident(kind=kind, severity=KINDS[kind].severity, flags=(Flag.SECOND_CRY, Flag.ESCALATED)))
    assert list(SCHEMA.iter_errors(made.decode().partition("\n")[2])) == []


def test_the_schema_refuses_what_is_wrong() -> None:
    """A check that cannot fail checks nothing."""
    made = alert(incident()).decode().partition("\n")[2]
    for wrong in (made.replace("Immediate", "Now"), made.replace("<sent>", "<sent>x"), made.replace("<status>Actual</status>", "")):
        assert list(SCHEMA.iter_errors(wrong)) != []


def test_least_data() -> None:
    made = alert(incident()).decode()
    for secret in ("王秀兰", "红古路", "17400000003", "36.341", "102.864", "p-1"):
        assert secret not in made


def test_alert_update_cancel() -> None:
    first = alert(incident())
    later = alert(incident(version=4, state=State.ACKNOWLEDGED, changed_at=NOW + timedelta(minutes=2)))
    over = alert(incident(version=9, state=State.RESOLVED, changed_at=NOW + timedelta(minutes=30)))
    assert [value(made, "msgType") for made in (first, later, over)] == ["Alert", "Update", "Cancel"]
    assert [value(made, "identifier") for made in (first, later, over)] == [f"I20250302-0001.{version}" for version in (1, 4, 9)]
    assert value(first, "references") is None
    assert value(later, "references") == "12349@honggu,I20250302-0001.1,2025-03-02T10:00:00-00:00"
    assert value(over, "info/urgency") == "Past"
    for made in (first, later, over):
        assert list(SCHEMA.iter_errors(made.decode().partition("\n")[2])) == []


def test_status_and_scope() -> None:
    assert value(alert(incident()), "status") == "Actual"
    assert value(alert(incident(state=State.CLOSED, outcome=Outcome.TEST)), "status") == "Test"
    assert value(alert(incident()), "scope") == "Restricted"
    private = alert(incident(), '"Fire brigade" 119')
    assert (value(private, "scope"), value(private, "addresses")) == ("Private", '"Fire brigade" 119')
    assert list(SCHEMA.iter_errors(private.decode().partition("\n")[2])) == []


def test_area_and_language() -> None:
    made = alert(incident(position=Position(lat=36.34123, lon=102.86456, accuracy_m=2600.0)), language="en")
    assert value(made, "info/area/circle") == "36.34,102.86 2.6"
    assert value(made, "info/area/areaDesc") == "海石湾 <&> 镇"
    assert (value(made, "info/language"), value(made, "info/senderName")) == ("en", "Honggu")
    assert value(alert(incident(position=None)), "info/area/circle") == "36.30,102.80 5.0"


def test_our_own_reader_of_cap_finds_the_same_kind() -> None:
    from drivers.bodies.cap import CapBody, CapOptions
    from tests.sip.test_cap import received

    for kind in (Kind.SOS, Kind.FIRE, Kind.GAS, Kind.FALL):
        reading = CapBody(CapOptions()).read(received(alert(incident(kind=kind))))
        (signal,) = reading.signals
        assert signal.kind is kind  # type: ignore[union-attr]
        assert (signal.lat, signal.lon) == (36.34, 102.86)  # type: ignore[union-attr]


def test_what_xml_cannot_hold_is_left_out() -> None:
    area = Area(id="a-1", name="a\x00b\x1bc\ud800", kind=AreaKind.STREET)
    made = cap_alert(incident(position=None), Register(areas=[area]), "s", "", NOW, NAMES)
    assert value(made, "info/area/areaDesc") == "abc?"
