"""Bytes inside a message: the named codecs, held against published samples and the documents of the makers."""

import random

import pytest

from drivers.mqtt.byte_codecs import BYTE_CODECS, codec_named

# (codec, port, bytes, what they say). Milesight: user guides, README of their SensorDecoders. TrackerD: the sheet's sample, which is LGT-92's
# manual. Browan, Abeeway: the examples of the public LoRaWAN device repository. BTHome: bthome.io, format. Minew: an advert server's log of 2019
# on GitHub, and adverts of others.
SAMPLES = [
    ("milesight-channels", 85, "017510 FF2E01", {"battery": 16, "button": "short"}),
    ("milesight-channels", 85, "FF2E02", {"button": "long"}),
    ("milesight-channels", 85, "FF2E03", {"button": "double"}),
    ("milesight-channels", 85, "FF2E07", {"button": 7}),
    ("milesight-channels", 85, "03F80400A0053C0A", {"detection": "fall", "target": "normal", "used_now": 1440, "used_today": 2620}),
    ("milesight-channels", 85, "01756403000104 0000", {"battery": 100, "occupied": 1, "bright": 0}),
    ("milesight-channels", 85, "04F900010001 05FA0100020003000400", {"regions": [0, 1, 0, 1]}),
    ("milesight-channels", 85, "06FB0500000100", {"alarms": [{"id": 5, "type": "fall", "status": "triggered", "region": 0}]}),
    ("milesight-channels", 85, "06FB06000303 02", {"alarms": [{"id": 6, "type": "out_of_bed", "status": "ignored", "region": 2}]}),
    ("milesight-channels", 85, "06FB0700090500", {"alarms": [{"id": 7, "type": 9, "status": 5, "region": 0}]}),
    ("milesight-channels", 85, "20CE0500000100", {"history": True}),
    ("milesight-channels", 85, "FF0BFF FF0101 FF166412345678901234 FF090310 FF0A0101 FF0F00", {"started": True, "firmware": "1.1"}),
    ("milesight-channels", 85, "017510 FF2E", {"battery": 16}),  # cut off
    ("milesight-channels", 85, "017510 AABB01 FF2E01", {"battery": 16}),  # an unknown channel ends the reading
    ("milesight-channels", 85, "AABB01", None),
    ("milesight-channels", 2, "017510 FF2E01", None),
    ("milesight-channels", 0, "FF2E01", {"button": "short"}),
    ("trackerd", 2, "015A785406CF33D80D20600 04B019000", {"lat": 22.70626, "lon": 114.24252, "alarm": False, "battery_mv": 3360}),
    ("trackerd", 2, "015A785406CF33D84D20", {"lat": 22.70626, "lon": 114.24252, "alarm": True, "battery_mv": 3360}),
    ("trackerd", 3, "FEA587ACF930CC284F40", {"lat": -22.70626, "lon": -114.24252, "alarm": True, "battery_mv": 3904}),
    ("trackerd", 2, "0FFFFFFF0FFFFFFF4D20", {"alarm": True, "battery_mv": 3360}),  # no fix: 268 degrees
    ("trackerd", 7, "4D2060", {"alarm": True, "battery_mv": 3360}),
    ("trackerd", 8, "686F6D656C61C00D2060", {"alarm": False, "battery_mv": 3360}),
    ("trackerd", 6, "00" * 24 + "4D20", {"alarm": True, "battery_mv": 3360}),
    ("trackerd", 4, "015A785406CF33D8 07EA 03 0E 09 1A 32", {"lat": 22.70626, "lon": 114.24252, "time": "2026-03-14T09:26:50Z", "history": True}),
    ("trackerd", 2, "015A785406CF33D84D", None),
    ("trackerd", 5, "1301400100FF0D2000", None),
    ("trackerd", 0, "015A785406CF33D84D20", None),
    ("browan", 147, "01FE370000040000", {"pressed": True, "battery_mv": 3900, "temperature": 23}),
    ("browan", 147, "00FE37", {"pressed": False, "battery_mv": 3900, "temperature": 23}),
    ("browan", 102, "01BB340400DC7801", {"occupied": True, "battery_mv": 3600, "temperature": 20}),
    ("browan", 100, "00CB350000 8A3A00", {"open": False, "battery_mv": 3600, "temperature": 21}),
    ("browan", 106, "110B362836", {"leak": True, "battery_mv": 3600, "temperature": 22}),
    ("browan", 102, "0000000000000000", None),
    ("browan", 42, "01FE37", None),
    ("browan", 147, "01FE", None),
    (
        "abeeway",
        18,
        "036AC18900001D28B901603702",
        {"message": "position", "sos": False, "temperature": 25.3, "fix_age_s": 0, "lat": 48.9208064, "lon": 2.3082752, "accuracy_m": 7.84},
    ),
    ("abeeway", 18, "0A00F9860000", {"message": "event", "sos": False, "temperature": 23.8, "event": "geoloc_start"}),
    ("abeeway", 18, "0A5064860007", {"message": "event", "sos": True, "battery": 100, "temperature": 23.8, "event": "sos_start"}),
    ("abeeway", 18, "0A5064860008", {"message": "event", "sos": False, "battery": 100, "temperature": 23.8, "event": "sos_end"}),
    ("abeeway", 18, "0530008600", {"message": "heartbeat", "sos": True, "charging": True, "temperature": 23.8}),
    (
        "abeeway",
        18,
        "0E305A8600 003C 01 1D28B900 01603700 0064 02",
        {
            "message": "extended_position",
            "sos": True,
            "battery": 90,
            "temperature": 23.8,
            "fix_age_s": 60,
            "lat": 48.9208064,
            "lon": 2.3082752,
            "accuracy_m": 7.84,
        },
    ),
    ("abeeway", 18, "0D105A8600", None),  # a text message: its second byte is none of status
    ("abeeway", 19, "105E0C248A00000119FF3FF20436458000A10000000A1765", {"message": "position", "sos": False, "battery": 94}),
    ("abeeway", 19, "105E0C240A00000119FF3FF20436458000A10000000A1765", {"lat": 43.615845, "lon": 7.06656}),
    ("abeeway", 19, "09007F4230", {"message": "notification", "sos": False, "charging": True}),
    ("abeeway", 19, "485A0C2410", {"message": "notification", "sos": True, "battery": 90, "event": "sos_start"}),
    ("abeeway", 19, "085A0C2411", {"message": "notification", "sos": False, "battery": 90, "event": "sos_end"}),
    (
        "abeeway",
        19,
        "48DA69B5297A10",
        {"message": "notification", "sos": True, "battery": 90, "buffered": True, "time": 1773480314, "event": "sos_start"},
    ),
    ("abeeway", 19, "085A", None),
    ("abeeway", 2, "036AC18900", None),
    ("bthome", 0, "44001D01643A01", {"packet": 29, "battery": 100, "presses": [{"button": 1, "press": "single"}]}),
    ("bthome", 0, "D2FC44001D01643A04", {"packet": 29, "battery": 100, "presses": [{"button": 1, "press": "long"}]}),
    ("bthome", 0, "44001D01643A003A023A003A80", {"presses": [{"button": 2, "press": "double"}, {"button": 4, "press": "hold"}]}),
    ("bthome", 0, "443AFE", {"presses": [{"button": 1, "press": "hold"}]}),
    ("bthome", 0, "443A00", {}),  # a beacon: nothing was pressed
    ("bthome", 0, "443A81", {}),
    ("bthome", 0, "4002C40903BF13", {"temperature": 25.0, "humidity": 50.55}),
    ("bthome", 0, "400161 0C6009 1A01 2101 2900", {"battery": 97, "voltage": 2.4, "door": True, "motion": True, "smoke": False}),
    ("bthome", 0, "40530348656C 2001", {"moisture": True}),  # a text before it
    ("bthome", 0, "4001 64 EE 2901", {"battery": 100}),  # an unknown object ends the reading
    ("bthome", 0, "41E445F3C962332211006C7C4519", {"encrypted": True}),
    ("bthome", 0, "2001643A01", None),  # version 1
    ("bthome", 0, "", None),
    ("minew", 0, "0201060303E1FF0D16E1FFA10264000832A03F23AC", {"frame": 2, "battery": 100, "light": 0, "mac": "ac233fa03208"}),
    (
        "minew",
        0,
        "0201060303E1FF1216E1FFA10364FFF4000FFF003772A33F23AC",
        {"frame": 3, "battery": 100, "acceleration": [-0.047, 0.059, -1.0], "mac": "ac233fa37237"},
    ),
    ("minew", 0, "0201061016E1FFA101641C8A2F51000000000000", {"frame": 1, "battery": 100, "temperature": 28.539, "humidity": 47.316}),
    ("minew", 0, "0E16E1FFA10864AABBCCDDEEFF5331", {"frame": 8, "battery": 100, "mac": "ffeeddccbbaa", "name": "S1"}),
    (
        "minew",
        0,
        "0201061AFF4C00021553594F4F4B534F4349414C444953544500000000E8",
        {"uuid": "53594f4f4b534f4349414c4449535445", "major": 0, "minor": 0},
    ),
    ("minew", 0, "02010617 16AAFE00EE 00112233445566778899 AABBCCDDEEFF 0000 00", {"uid": "00112233445566778899aabbccddeeff"}),
    ("minew", 0, "0A16D2FC44001D01643A01", {"packet": 29, "battery": 100, "presses": [{"button": 1, "press": "single"}]}),
    ("minew", 0, "0E16E1FFA1135013C28953A23F23AC", {"frame": 0x13}),
    ("minew", 0, "0201061A16E1FF", None),  # cut off
    ("minew", 0, "", None),
]


@pytest.mark.parametrize(("name", "port", "text", "wanted"), SAMPLES)
def test_samples(name: str, port: int, text: str, wanted: dict[str, object] | None) -> None:
    found = codec_named(name)(bytes.fromhex(text.replace(" ", "")), port)
    if wanted is None:
        assert found is None
    elif name in ("milesight-channels", "trackerd", "browan"):
        assert found == wanted
    else:
        assert found is not None
        assert {key: found.get(key) for key in wanted} == wanted
        assert not wanted or "presses" in wanted or "presses" not in found


def test_what_is_not_said_is_absent() -> None:
    assert "battery" not in (codec_named("abeeway")(bytes.fromhex("036ac18900001d28b901603702"), 18) or {})
    assert "lat" not in (codec_named("abeeway")(bytes.fromhex("0a00f9860000"), 18) or {})
    assert codec_named("bthome")(bytes.fromhex("443a00"), 0) == {}
    assert "temperature" not in (codec_named("minew")(bytes.fromhex("0e16e1ffa10864aabbccddeeff5331"), 0) or {})


@pytest.mark.parametrize("name", sorted(BYTE_CODECS))
def test_bytes_never_make_them_raise(name: str) -> None:
    read = codec_named(name)
    source = random.Random(20260314)
    samples = [bytes.fromhex(text.replace(" ", "")) for codec, _, text, _ in SAMPLES if codec == name]
    ports = [0, 2, 3, 4, 6, 7, 8, 18, 19, 85, 100, 102, 106, 147, 255]
    for number in range(10_000):
        if number % 3:
            data = bytearray(source.choice(samples))
            for _ in range(source.randrange(1, 4)):
                if data:
                    data[source.randrange(len(data))] = source.randrange(256)
            octets = bytes(data[: source.randrange(len(data) + 1)] if number % 2 else data)
        else:
            octets = source.randbytes(source.randrange(64))
        found = read(octets, source.choice(ports))
        assert found is None or isinstance(found, dict)


def test_every_prefix_of_a_sample_can_be_read() -> None:
    for name, port, text, _ in SAMPLES:
        data = bytes.fromhex(text.replace(" ", ""))
        for length in range(len(data)):
            codec_named(name)(data[:length], port)


# Objects of BTHome version 2 by their length, as the package bthome-ble 3.25 (Home Assistant's own parser) has them.
BTHOME_LENGTHS = {
    1: "00 01 09 0F 10 11 15 16 17 18 19 1A 1B 1C 1D 1E 1F 20 21 22 23 24 25 26 27 28 29 2A 2B 2C 2D 2E 2F 3A 3B 46 57 58 59 60 64 65",
    2: "02 03 06 07 08 0C 0D 0E 12 13 14 3C 3D 3F 40 41 43 44 45 47 48 49 4A 51 52 56 5A 5D 5E 5F 61 F0",
    3: "04 05 0A 0B 42 4B F2",
    4: "3E 4C 4D 4E 4F 50 55 5B 5C 62 63 F1",
}


@pytest.mark.parametrize("length", BTHOME_LENGTHS)
def test_a_press_behind_any_object_of_bthome_is_found(length: int) -> None:
    for which in bytes.fromhex(BTHOME_LENGTHS[length]):
        found = codec_named("bthome")(bytes([0x44, which, *bytes(length), 0x3A, 1]), 0)
        assert found is not None
        assert [press["press"] for press in found["presses"]] == ["single"], hex(which)  # type: ignore[attr-defined]
