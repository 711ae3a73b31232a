"""The street: its file, the register it writes, and that its judges find what is planted."""

import csv
import time
from pathlib import Path

import msgspec
import pytest

from simulators.cli import main
from simulators.mqtt_link import BrokerAddress
from simulators.sent import Sent
from simulators.stations import Order
from simulators.street import Street, lines_of
from simulators.street_plan import PLOTS, STREETS, StreetError, address, load_street, person, write_register

PLAN = load_street(STREETS / "devices_of_a_street.toml")


def street(folder: Path) -> Street:
    return Street(PLAN, BrokerAddress.parse("mqtt://127.0.0.1:1"), dict.fromkeys(PLOTS, 1), folder)


def order(who: str | None, incident: str, delivery: str) -> Order:
    return Order("station-1", delivery, incident, "sos", "x", None, 0, who, "critical", None, time.monotonic())


def test_every_family_lives_there() -> None:
    assert {part.line for part in PLAN.part} == set(PLOTS)
    addresses = [(part.line, address(part.line, number)) for part in PLAN.larger(8).part for number in range(part.devices)]
    assert len({device.lower() for line, device in addresses if line not in ("ness", "elk")}) == len(
        [device for line, device in addresses if line not in ("ness", "elk")]
    ), "no two devices share an address"
    assert [fault.line for fault in PLAN.fault if fault.what == "storm"] == ["watches", "pendants", "terminals"]


def test_register_and_lines(tmp_path: Path) -> None:
    assert main(["street", "--write", str(tmp_path), "--port", "watches=9100"]) == 0
    with (tmp_path / "devices.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(part.devices for part in PLAN.part)
    assert len({row["person"] for row in rows}) == len(rows)
    lines = (tmp_path / "lines.toml").read_text()
    assert lines.count("[[line]]") == len(PLOTS)
    assert 'listen = "tcp:9100:interface=127.0.0.1"' in lines
    assert lines == lines_of(PLAN, {**{line: 21_000 + n for n, line in enumerate(PLOTS)}, "watches": 9100}, Path("/tmp/street"))
    assert main(["street", "--port", "moon=1"]) == 2
    assert main(["street", str(tmp_path / "none.toml")]) == 2
    write_register(PLAN, tmp_path / "again", {})
    assert (tmp_path / "again" / "devices.csv").read_text() == (tmp_path / "devices.csv").read_text()


@pytest.mark.parametrize(
    "fault", ['[[part]]\nline = "moon"', '[[fault]]\nwhat = "flood"\nline = "tap"', "surprise = 1", 'name = "x'], ids=["line", "fault", "key", "toml"]
)
def test_a_faulty_file_is_refused(tmp_path: Path, fault: str) -> None:
    path = tmp_path / "street.toml"
    path.write_text(fault if fault.startswith("name") else f'name = "x"\n{fault}\n')
    with pytest.raises(StreetError, match=r"street\.toml"):
        load_street(path)


async def test_the_judges_find_what_is_planted(tmp_path: Path) -> None:
    one = street(tmp_path)
    for number in range(3):
        one.sent["watches", number] = Sent(address("watches", number))
    one.sent["ness", 0] = Sent("0:001")
    assert one.owed() == [("ness", 0)], "a held state is owed though nobody confirms it"
    one.sent["watches", 0].confirm("AL")
    assert one.lost(one.owed()) == [f"watches {address('watches', 0)}", "ness 0:001"]
    one.stations.orders.append(order(person("watches", 0), "I1", "d1"))
    one.stations.orders.append(order(person("ness", 0), "I2", "d2"))
    assert one.lost(one.owed()) == []
    assert one.contradictions() == []
    assert len(one.unconfirmed) == 2

    one.stations.orders.append(order(person("watches", 0), "I1", "d9"))
    assert "2 orders for one press" in one.contradictions()[0]
    one.stations.orders.append(order(person("watches", 1), "I2", "d2"))
    assert one.contradictions()[-1].startswith("one incident, two people: I2")
    one.stations.orders.append(order("pendants-3", "I5", "d5"))
    assert "sent for nothing: pendants-3" in one.contradictions()
    assert one.summary()["watches"] == {"presses": 3, "confirmed": 1, "tries": 0, "ordered": 2}


def test_more_houses_have_other_instants() -> None:
    larger = msgspec.structs.replace(PLAN.larger(3), seed=7)
    assert len(larger.times()) > 2 * len(PLAN.times())
    assert larger.times() == larger.times()
    assert larger.count("ness") == 12
    assert PLAN.larger(100).count("elk") == 16
