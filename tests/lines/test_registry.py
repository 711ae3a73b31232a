"""The table of drivers: every fault of a line told at once, with line, key and remedy."""

import pytest

from drivers.lines.serial_port import SerialLine
from drivers.lines.stream import StreamLine
from drivers.registry import DRIVERS, build_line, check_line, codec_for, driver_for
from gateway.config import CallsConfig, LineConfig
from gateway.errors import ConfigError


@pytest.mark.parametrize("codec", sorted(DRIVERS))
def test_every_row_can_be_made_with_its_defaults(codec: str) -> None:
    assert driver_for(codec).options.__struct_config__.forbid_unknown_fields
    assert codec_for(codec) is not None


def test_all_faults_at_once() -> None:
    config = LineConfig(
        name="hall",
        codec="espa444",
        listen="udp:9060",
        broker="mqtt://x",
        silence_s=0,
        options={"adress": "2", "lenient": "yes", "data_bits": 9},
    )
    problems = check_line(config)
    assert len(problems) == 6
    assert all(problem.startswith("line 'hall': ") for problem in problems)
    for key in ("broker", "listen", "silence_s", "options.adress", "options.lenient", "options.data_bits"):
        assert any(problem.removeprefix("line 'hall': ").startswith(f"{key}:") for problem in problems), key
    with pytest.raises(ConfigError) as refused:
        build_line(config, CallsConfig())
    assert refused.value.problems == problems


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"address": "12"}, "address"),
        ({"texts": [{"match": "(", "kind": "sos"}]}, "regular expression"),
        ({"texts": [{"match": "x", "kind": "panic"}]}, "texts"),
        ({"beeps": {"1": "nothing"}}, "beeps"),
    ],
)
def test_options_are_checked_beyond_their_types(options: dict[str, object], names: str) -> None:
    [problem] = check_line(LineConfig(name="hall", codec="espa444", listen="serial:/dev/x", options=options))
    assert "line 'hall': options" in problem
    assert names in problem


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"authentication": "yes"}, "options.authentication: 'yes' is not possible; correct it: one of off, accept_and_mark, required"),
        ({"authentication_for": {"192.0.2.0/24": "no"}}, "options.authentication_for.192.0.2.0/24: 'no' is not possible; correct it: one of off, "),
        ({"algorithms": ["MD5", "MD4"]}, "options.algorithms[2]: 'MD4' is not possible; correct it: one of MD5, SHA-256, SHA-512-256"),
        (
            {"register": {"registrar": "sip:x", "address": "sip:1@x", "expires_s": "1h"}},
            "options.register.expires_s: expected a whole number, got text",
        ),
        ({"register": {"registrar": "sip:x"}}, "options.register.address: is missing; write it"),
        ({"body_options": {"scaip": {"device": "did"}}}, "body_options.scaip.device: 'did' is not possible; correct it: one of cid, cid/did"),
        ({"body_options": {"scaip": {"colour": 1}}}, "body_options.scaip.colour: is not known; known here: device, "),
        ({"body_options": {"scaip": 1}}, "options.body_options.scaip: expected a table, got a whole number"),
    ],
)
def test_a_wrong_value_is_named_by_its_key_with_what_is_permitted(options: dict[str, object], said: str) -> None:
    [problem] = check_line(LineConfig(name="units", codec="sip", listen="udp:5060", options=options))
    assert said in problem


def test_unknown_codec_names_the_known_ones() -> None:
    [problem] = check_line(LineConfig(name="hall", codec="espa", listen="serial:/dev/x"))
    assert "codec" in problem
    assert "espa444" in problem


@pytest.mark.parametrize(("listen", "line"), [("serial:/dev/panel0:baudrate=9600", SerialLine), ("tcp:0:interface=127.0.0.1", StreamLine)])
def test_any_stream_codec_over_any_stream_line(listen: str, line: type) -> None:
    for codec in ("espa444", "ascii_button"):
        assert isinstance(build_line(LineConfig(name="x", codec=codec, listen=listen), CallsConfig()), line)


def test_bad_serial_words_are_found_before_the_start() -> None:
    [problem] = check_line(LineConfig(name="hall", codec="espa444", listen="serial:/dev/x:baud=9600"))
    assert "baud" in problem
