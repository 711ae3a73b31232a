"""The user agent as `gateway decode sip` runs it: a message read on paper, its answer and its follow-up ready when it is confirmed."""

from drivers.contract import Rejected, Signal
from drivers.registry import codec_for
from drivers.user_agent.sip_reader import SipReader
from tests.sip.rfc4475 import TORTURE
from tests.sip.sip_peer import read, request
from tests.sip.sip_wire import START
from tests.sip.test_user_agent import ALARM

SOURCE = ("192.0.2.20", 5060)


def reader() -> SipReader:
    found = codec_for("sip", {"sources": ["198.51.100.0/24"], "requests_per_s": 1})
    assert isinstance(found, SipReader)
    return found


def test_an_alarm_its_receipt_and_what_follows_it() -> None:
    codec = reader()
    [signal] = codec.receive_message(SOURCE, request(content_type="application/scaip+xml", body=ALARM), 0.0, START)
    assert isinstance(signal, Signal)
    assert signal.kind.value == "sos"
    assert codec.data_to_send() == b""
    codec.confirm(signal)
    answer, _, follow_up = codec.data_to_send().partition(b"MESSAGE sip:")
    assert read(answer).code == 200
    assert b"<snu>0</snu>" in follow_up


def test_refused_it_is_503() -> None:
    codec = reader()
    [signal] = codec.receive_message(SOURCE, request(), 0.0, START)
    codec.refuse(signal, "store_down")
    assert read(codec.data_to_send()).code == 503


def test_what_is_no_alarm_is_answered_at_once() -> None:
    codec = reader()
    for _ in range(5):  # no rate, no source is looked at
        assert codec.receive_message(("203.0.113.7", 5060), request("OPTIONS", body=b""), 0.0, START) == []
        assert read(codec.data_to_send()).code == 200
    [rejected] = codec.receive_message(SOURCE, b"hello?", 0.0, START)
    assert isinstance(rejected, Rejected)
    codec.confirm(rejected)
    assert codec.data_to_send() == b""
    assert (codec.deadline(), codec.handle_deadline(0.0, START), codec.restore([], 0.0)) == (None, [], 0)


def test_every_torture_message_can_be_read() -> None:
    codec = reader()
    for row in TORTURE:
        for item in codec.receive_message(("", 0), row.wire, 0.0, START):
            codec.confirm(item)
        codec.data_to_send()
