"""What the self-test says for each codec, read by that codec: the device is the test device, the token is found again, the receipt is known."""

from datetime import UTC, datetime

import msgspec
import pytest

from drivers.contract import Rejected, Surroundings
from drivers.probe.contract import Moment, Probe, Unsayable
from drivers.probe.frame import faults_of, from_config
from drivers.probe.table import ROWS, row_of
from drivers.registry import DRIVERS, codec_for, driver_for
from gateway.event import ALARM_KINDS, Kind

AT = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
STREAMS = ("surgard", "sia_dc09", "contact_id", "ascii_button", "espa444", "watch3g", "gt06", "jt808")


def probe_of(codec: str, number: int = 7, **options: object) -> Probe:
    row = ROWS[codec]
    moment = Moment(number=number, at=AT, source=("127.0.0.1", 5070), target=("127.0.0.1", 5060))
    return row.maker(row.device, moment, msgspec.convert(options, driver_for(codec).options), "12349")


@pytest.mark.parametrize("codec", STREAMS)
@pytest.mark.parametrize("number", [1, 1000, 65_535, 999_999])
def test_a_stream_codec_reads_it_as_the_test_devices_and_answers(codec: str, number: int) -> None:
    probe = probe_of(codec, number)
    reader = codec_for(codec, {}, None, Surroundings(line="line", session="s", utc_now=lambda: AT))
    found, last = [], None
    if hasattr(reader, "connected"):
        reader.connected(100.0)
    for step in probe.steps:
        signals = reader.receive_data(step.data, 100.0)
        due = reader.deadline()
        if due is not None and due < 102.0:
            signals += reader.handle_deadline(due)
        for signal in signals:
            assert not isinstance(signal, Rejected), signal
            reader.confirm(signal)
        found += signals
        answer = reader.data_to_send()
        assert step.receipt is None or step.receipt(answer), (codec, step.data, answer)
        assert step.receipt is None or not step.receipt(b""), "nothing is no receipt"
        last = step
    mine = [signal for signal in found if signal.device == probe.device and probe.token in signal.raw]
    assert {signal.kind for signal in mine} & (ALARM_KINDS | {Kind.TEST, Kind.BUTTON}), (codec, found)
    assert last is not None


@pytest.mark.parametrize("codec", ["generic", "station_reply"])
def test_a_broker_codec_reads_it(codec: str) -> None:
    probe = probe_of(codec)
    (signal,) = codec_for(codec).receive_message(probe.topic, probe.steps[0].data, False, False, 100.0, AT)
    assert (signal.device, probe.token) == (probe.device, signal.raw)
    assert signal.kind in (Kind.TEST, Kind.ACCEPT)


def test_a_mirrored_call_begins_and_is_over_when_the_probe_is() -> None:
    probe = probe_of("hep")
    codec = codec_for("hep")
    signals = [one for data in (probe.steps[0].data, *probe.after) for one in codec.receive_message(("127.0.0.1", 9), data, 100.0, AT)]
    assert [one.kind for one in signals] == [Kind.CALL_OFFERED, Kind.CALL_ABANDONED]
    assert {one.device for one in signals} == {probe.device}
    assert all(probe.token in one.raw for one in signals)
    assert codec.live_calls == 0


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("surgard", {"format": "ademco685"}),
        ("sia_dc09", {"strict": True}),
        ("contact_id", {"notation": "dtmf"}),
        ("espa444", {"role": "control"}),
        ("sip", {"authentication": "required"}),
        ("sip", {"sources": ["192.0.2.0/24"]}),
        ("hep", {"sources": ["192.0.2.0/24"]}),
    ],
)
def test_where_no_test_device_would_be_heard_it_says_so(codec: str, options: dict[str, object]) -> None:
    with pytest.raises(Unsayable):
        probe_of(codec, **options)


def test_every_row_is_a_codec_and_no_two_probes_are_the_same() -> None:
    assert set(ROWS) <= set(DRIVERS)
    assert row_of("mapping") is None
    for codec in set(ROWS) - {"watch3g"}:  # of which the time is the number: two of one second are one
        assert probe_of(codec, 1).steps[-1].data != probe_of(codec, 2).steps[-1].data, codec


@pytest.mark.parametrize("codec", sorted(ROWS))
def test_no_test_device_has_the_address_of_one_that_was_never_given_any(codec: str) -> None:
    """A pendant that has lost its IMEI says fifteen noughts; a cry of it must not be taken for a test."""
    digits = [one for one in ROWS[codec].device if one.isalnum()]
    assert len(set(digits)) > 1, "all noughts, a one, or all the same: what memory holds that nobody has written"


def test_what_only_the_place_knows_is_filled_in() -> None:
    moment = Moment(number=1234, at=AT)
    probe = from_config("d-1", moment, "$device $seq $seq2 $seq4 $ts $time\x14", "\x06$seq2", "")
    assert probe.steps[0].data == b"d-1 1234 34 1234 1773480413000 2026-03-14T09:26:53Z\x14"
    assert probe.steps[0].receipt is not None
    assert probe.steps[0].receipt(b"noise\x0634")
    assert not probe.steps[0].receipt(b"\x0635")
    assert from_config("d-1", moment, '{"n": $seq, "price": "$$"}', "", "home/$device/state") == Probe(
        device="d-1", steps=from_config("d-1", moment, '{"n": 1234, "price": "$$"}', "", "").steps, topic="home/d-1/state"
    )
    assert faults_of("$device") == ""
    assert "$colour is not known" in faults_of("$colour")
    assert "begins no placeholder" in faults_of("5 $ a piece")
