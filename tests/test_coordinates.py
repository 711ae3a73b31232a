"""WGS-84, GCJ-02 and BD-09: published points, eight cities, places that are not shifted, and the properties that hold everywhere."""

import math
import random
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.contract import Signal, to_event
from gateway.coordinates import Datum, Place, is_mainland, is_reversed
from gateway.event import Kind, Position

WGS, GCJ, BD, UNKNOWN = Datum.WGS84, Datum.GCJ02, Datum.BD09, Datum.UNKNOWN
AT = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)

# Published by the eviltransform and coordtransform projects; all digits.
REFERENCE = [
    (Place(31.1774276, 121.5272106), Place(31.17530398364597, 121.531541859215, GCJ)),
    (Place(22.543847, 113.912316), Place(22.540796131694766, 113.9171764808363, GCJ)),
    (Place(39.911954, 116.377817), Place(39.91334545536069, 116.38404722455657, GCJ)),
    (Place(39.915, 116.404), Place(39.91640428150164, 116.41024449916938, GCJ)),
    (Place(39.915, 116.404, GCJ), Place(39.92133699351021, 116.41036949371029, BD)),
]
CITIES = [
    ("Beijing", (39.90872, 116.39748), (39.910123, 116.403724), (39.916463, 116.410097), 554.9, 1378.1),
    ("Shanghai", (31.23037, 121.47370), (31.228428, 121.478223), (31.234281, 121.484781), 481.2, 1139.8),
    ("Guangzhou", (23.12911, 113.26436), (23.126433, 113.269690), (23.132721, 113.276111), 621.0, 1266.9),
    ("Chengdu", (30.57281, 104.06680), (30.570356, 104.069305), (30.576362, 104.075783), 363.3, 946.3),
    ("Urumqi", (43.82560, 87.61685), (43.826805, 87.619700), (43.832949, 87.626150), 265.0, 1106.5),
    ("Harbin", (45.80378, 126.53497), (45.805762, 126.541010), (45.811376, 126.547629), 517.5, 1294.7),
    ("Lhasa", (29.65249, 91.17211), (29.649701, 91.173577), (29.655755, 91.180070), 341.0, 850.5),
    ("Sanya", (18.25285, 109.51209), (18.251144, 109.516174), (18.256928, 109.522721), 471.1, 1210.8),
]
NOT_SHIFTED = {
    "London": (51.50720, -0.12760),
    "Tokyo": (35.68950, 139.69170),
    "Hong Kong, Central": (22.2819, 114.1582),
    "Hong Kong, Lo Wu station": (22.5283, 114.1135),
    "Hong Kong, Sheung Shui": (22.5011, 114.1277),
    "Hong Kong, airport": (22.3080, 113.9185),
    "Macau, Senado Square": (22.1937, 113.5399),
    "Macau, Cotai": (22.1480, 113.5590),
    "Taipei": (25.0330, 121.5654),
    "Kaohsiung": (22.6273, 120.3014),
    "Kinmen": (24.4320, 118.3171),
    "Seoul": (37.5665, 126.9780),
    "Pyongyang": (39.0392, 125.7625),
    "Hanoi": (21.0278, 105.8342),
    "Vladivostok": (43.1155, 131.8855),
    "Ulaanbaatar": (47.8864, 106.9057),
    "Almaty": (43.2389, 76.8897),
    "Kathmandu": (27.7172, 85.3240),
    "Manila": (14.5995, 120.9842),
}
SHIFTED = {
    "Shenzhen, Civic Centre": (22.5431, 114.0579),
    "Shenzhen, Luohu": (22.5480, 114.1150),
    "Shenzhen, Shekou": (22.4853, 113.9135),
    "Shenzhen, Yantian": (22.5900, 114.2650),
    "Zhuhai, Gongbei": (22.2215, 113.5490),
    "Zhuhai, Hengqin": (22.1200, 113.5150),
    "Xiamen": (24.4798, 118.0894),
    "Zhoushan, Shengsi": (30.7270, 122.4510),
    "Dandong": (40.1290, 124.3850),
    "Heihe": (50.2450, 127.4990),
    "Manzhouli": (49.5980, 117.4550),
    "Suifenhe": (44.3960, 131.1510),
    "Tumen": (42.9680, 129.8430),
    "Erenhot": (43.6530, 111.9770),
    "Khorgos": (44.2130, 80.4090),
    "Tashkurgan": (37.7730, 75.2280),
    "Yadong": (27.4850, 88.9070),
    "Ruili": (24.0130, 97.8520),
    "Hekou": (22.5290, 103.9390),
    "Dongxing": (21.5480, 107.9720),
    "Dalian": (38.9140, 121.6147),
    "Weihai": (37.5130, 122.1200),
    "Gongshu": (30.3190, 120.1420),
    "Honggu": (36.3450, 102.8600),
}


def metres(one: Place, other: Place) -> float:
    """On a sphere; the two are near one another."""
    a = math.sin(math.radians(other.lat - one.lat) / 2) ** 2
    b = math.cos(math.radians(one.lat)) * math.cos(math.radians(other.lat)) * math.sin(math.radians(other.lon - one.lon) / 2) ** 2
    return 2 * 6_371_008.8 * math.asin(math.sqrt(a + b))


@pytest.mark.parametrize(("given", "expected"), REFERENCE)
def test_published_points(given, expected):
    found = given.into(expected.datum)
    assert (found.lat, found.lon) == (pytest.approx(expected.lat, abs=1e-9), pytest.approx(expected.lon, abs=1e-9))


def test_inverse_is_better_than_one_step():
    exact = Place(39.915, 116.404, GCJ).into(WGS)
    shifted = Place(39.915, 116.404).into(GCJ)
    one_step = Place(2 * 39.915 - shifted.lat, 2 * 116.404 - shifted.lon)
    assert (one_step.lat, one_step.lon) == (pytest.approx(39.91359571849836, abs=1e-9), pytest.approx(116.39775550083061, abs=1e-9))
    assert metres(exact, one_step) == pytest.approx(0.06, abs=0.01)


def test_baidu_point_goes_back():
    """The published value is of one step, off by 0.22 m at most; ours comes back to where it came from."""
    found = Place(39.915, 116.404, BD).into(GCJ)
    assert metres(found, Place(39.90865673957631, 116.39762729119315)) < 0.22
    again = found.into(BD)
    assert (again.lat, again.lon) == (pytest.approx(39.915, abs=1e-9), pytest.approx(116.404, abs=1e-9))


@pytest.mark.parametrize("row", CITIES, ids=lambda row: row[0])
def test_city(row):
    _, wgs, gcj, bd, to_gcj_m, to_bd_m = row
    places = [Place(*wgs), Place(*gcj, GCJ), Place(*bd, BD)]
    for place in places:
        for expected in places:
            assert metres(place.into(expected.datum), expected) < 0.2
    assert metres(places[0], places[0].into(GCJ)) == pytest.approx(to_gcj_m, rel=0.003)
    assert metres(places[0], places[0].into(BD)) == pytest.approx(to_bd_m, rel=0.003)


@pytest.mark.parametrize("name", NOT_SHIFTED)
@pytest.mark.parametrize("datum", [GCJ, BD])
def test_not_shifted(name, datum):
    lat, lon = NOT_SHIFTED[name]
    assert not is_mainland(lat, lon)
    assert Place(lat, lon).into(datum) == Place(lat, lon, datum)


@pytest.mark.parametrize("name", [name for name in NOT_SHIFTED if "Lo Wu" not in name and "Macau" not in name])
def test_not_shifted_back(name):
    """Within 700 m of the mainland nobody can know; farther off nothing moves."""
    assert Place(*NOT_SHIFTED[name], GCJ).into(WGS) == Place(*NOT_SHIFTED[name])


@pytest.mark.parametrize("name", SHIFTED)
def test_shifted(name):
    lat, lon = SHIFTED[name]
    assert is_mainland(lat, lon)
    assert 20 <= metres(Place(lat, lon), Place(lat, lon).into(GCJ)) <= 700


def test_offset_and_round_trip_all_over_the_mainland():
    rng = random.Random(2026)
    points = 0
    while points < 5_000:
        place = Place(rng.uniform(18, 54), rng.uniform(73, 135))
        if not is_mainland(place.lat, place.lon):
            continue
        points += 1
        for datum, most in ((GCJ, 700), (BD, 1600)):
            there = place.into(datum)
            assert 20 <= metres(place, there) <= most
            assert metres(place, there.into(WGS)) < 0.001
            assert there.into(WGS).into(WGS).into(datum).datum is datum
    one_way = Place(30.2741, 120.1551, GCJ)
    assert metres(one_way.into(BD).into(WGS), one_way.into(WGS)) < 0.001


def test_nothing_is_converted_twice():
    once = Place(30.2741, 120.1551, GCJ).into(WGS)
    assert once.into(WGS) is once
    assert once.datum is WGS


@given(st.floats(), st.floats(), st.sampled_from(Datum), st.sampled_from(Datum))
def test_any_numbers(lat, lon, datum, wanted):
    place = Place(lat, lon, datum).into(wanted)
    assert place.datum is (datum if UNKNOWN in (datum, wanted) else wanted)


def test_unknown_datum_is_left_alone():
    place = Place(30.2741, 120.1551, UNKNOWN)
    assert place.into(WGS) is place
    assert Place(30.2741, 120.1551).into(UNKNOWN) == Place(30.2741, 120.1551)


def test_exchanged_coordinates_are_recognised_in_china_only():
    assert is_reversed(120.1551, 30.2741)
    assert not is_reversed(30.2741, 120.1551)
    assert not is_reversed(60.17, 24.94), "Helsinki"


def position(**fields: object) -> Position | None:
    return to_event(Signal(kind=Kind.SOS, raw=b"as sent", **fields), "line", AT).position  # type: ignore[arg-type]


def test_events_hold_wgs84_and_say_what_was_sent():
    found = position(lat=39.910123, lon=116.403724, datum="gcj02", accuracy_m=30)
    assert found is not None
    assert metres(Place(found.lat, found.lon), Place(39.90872, 116.39748)) < 0.2
    assert (found.datum, found.accuracy_m) == ("gcj02", 30)
    found = position(lat=39.916463, lon=116.410097, datum="bd09")
    assert found is not None
    assert metres(Place(found.lat, found.lon), Place(39.90872, 116.39748)) < 0.2
    assert (found.datum, found.accuracy_m) == ("bd09", None)


@pytest.mark.parametrize(("said", "kept"), [(None, 700), (15, 700), (2000, 2000)])
@pytest.mark.parametrize("datum", ["unknown", "nad27"])
def test_unknown_datum_is_at_least_700_m_off(datum, said, kept):
    found = position(lat=39.910123, lon=116.403724, datum=datum, accuracy_m=said)
    assert found is not None
    assert (found.lat, found.lon, found.datum, found.accuracy_m) == (39.910123, 116.403724, "unknown", kept)
