"""PIDF-LO: shapes and addresses out of the RFCs, and XML bodies that would hurt a reader without bounds."""

import random
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest
from codec_checks import mutate
from hypothesis import given
from hypothesis import strategies as st

from drivers.bodies.pidf import Place, read_pidf
from drivers.sip.xml_body import MAX_BYTES, MAX_DEPTH, MAX_ELEMENTS, MalformedXml, read_xml

ROWS: list[dict[str, Any]] = tomllib.loads((Path(__file__).parent.parent / "vectors" / "sip" / "pidf.toml").read_text("utf-8"))["body"]


@pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])
def test_place(row: dict[str, Any]) -> None:
    place = read_pidf(row["xml"].lstrip().encode())
    if row.get("nothing"):
        assert place is None
        return
    assert place is not None
    if "tolerance" in row:
        assert (place.lat, place.lon) == (pytest.approx(row["lat"], abs=row["tolerance"]), pytest.approx(row["lon"], abs=row["tolerance"]))
    else:
        assert (place.lat, place.lon) == (row.get("lat"), row.get("lon"))
    if "reach" in row:
        assert place.accuracy_m is not None
        assert row["reach"][0] < place.accuracy_m < row["reach"][1]
    else:
        assert place.accuracy_m == row.get("accuracy_m")
    assert (place.civic, place.method, place.source) == (row.get("civic", ""), row.get("method", ""), row.get("source", "reported"))
    assert (place.timestamp.isoformat() if place.timestamp else None) == row.get("time")


def test_gbk_address_is_read_whether_declared_or_not() -> None:
    body = "<presence><tuple><geopriv><location-info><civicAddress><A3>红古区</A3></civicAddress></location-info></geopriv></tuple></presence>"
    for head in ("", '<?xml version="1.0" encoding="GB2312"?>'):
        assert read_pidf((head + body).encode("gbk")) == Place(civic="红古区")


# What is refused before it can cost anything: each row is one trick.
HOSTILE = {
    "entities within entities": ('<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;&b;&b;"><!ENTITY d "&c;&c;&c;&c;">]><a>&d;</a>', "forbidden_xml"),
    "a file of ours": ('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><a>&x;</a>', "forbidden_xml"),
    "an entity nobody declared": ("<a>&secret;</a>", "bad_xml"),
    "too deep": ("<a>" * 20_000, "too_deep"),
    "too many": ("<a>" + "<b/>" * 16_000 + "</a>", "too_deep"),
    "70 kB": ("<a>" + "x" * 70_000 + "</a>", "too_long"),
    "one long text": ("<a>" + "x" * 60_000 + "</a>", "too_long"),
    "an encoding nobody knows": ('<?xml version="1.0" encoding="x-klingon"?><a/>', "bad_xml"),
    "an encoding of Python": ('<?xml version="1.0" encoding="rot13"?><a/>', "bad_xml"),
    "nothing": ("", "bad_xml"),
    "two roots": ("<a/><a/>", "bad_xml"),
    "no XML": ("help", "bad_xml"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_xml_is_refused_with_its_reason(name: str) -> None:
    text, reason = HOSTILE[name]
    with pytest.raises(MalformedXml) as refusal:
        read_xml(text.encode())
    assert refusal.value.reason == reason


def test_what_is_within_the_bounds_is_read() -> None:
    assert read_xml(b"<a>" * MAX_DEPTH + b"</a>" * MAX_DEPTH).name == "a"
    assert len(read_xml(b"<a>" + b"<b/>" * (MAX_ELEMENTS - 1) + b"</a>").children) == MAX_ELEMENTS - 1
    assert read_xml(b"\xff\xfe" + "<a>救</a>".encode("utf-16-le")).text == "救"


def test_time_grows_with_size_not_with_its_square() -> None:
    """CPU time of the largest bodies allowed, against bodies of an eighth of the size; a square would be 64 times."""

    def cost(body: bytes) -> float:
        best = float("inf")
        for _ in range(5):
            started = time.process_time()
            try:
                read_xml(body)
            except MalformedXml:
                pass
            best = min(best, time.process_time() - started)
        return best

    for unit in (b"<a x='1'>", b"<b/>", b"&lt;", b"<!-- -->", b"<a b='", b"]]>"):
        small = cost(b"<r>" + unit * (MAX_BYTES // 8 // len(unit)))
        large = cost(b"<r>" + unit * (MAX_BYTES // len(unit) - 4))
        assert large < 0.02 + 24 * small, unit


@given(seed=st.integers(0, 2**32), row=st.sampled_from(ROWS), noise=st.binary(max_size=60))
def test_no_bytes_raise(seed: int, row: dict[str, Any], noise: bytes) -> None:
    body = row["xml"].lstrip().encode()
    at = seed % (len(body) + 1)
    for changed in (mutate([body], random.Random(seed)), body[:at] + noise + body[at:], body[:at], noise):
        place = read_pidf(changed)
        assert place is None or (place.lat is None) == (place.lon is None)
