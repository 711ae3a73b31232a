"""Ends of calls that were not seen, hold, and what is learnt and kept over a restart."""

from drivers.calls.call import TRANSITIONS, Action, State
from gateway.config import CallsConfig
from tests.sip.sip_wire import AGENT, CALLER, OTHER_AGENT, PROXY, Dialog, Exchange

HOLD = "m=audio 4012 RTP/AVP 8\r\na=sendonly\r\n"
RESUME = "m=audio 4012 RTP/AVP 8\r\na=sendrecv\r\n"
AGENTS = CallsConfig(hotlines=("12349",), area_code="0931", agents={"8001": "陈静", "8002": "王磊"})


def talk(pbx: Exchange, call: Dialog, agent: str = "8001") -> None:
    assert pbx.say(CALLER, PROXY, call.request()) == ["offered"]
    assert pbx.say(PROXY, CALLER, call.response(200, extra=f"Contact: <sip:{agent}@192.0.2.31>")) == ["answered"]


def with_body(message: bytes, body: str) -> bytes:
    return message.replace(b"Content-Length: 0", f"Content-Type: application/sdp\r\nContent-Length: {len(body)}".encode()) + body.encode()


def test_a_caller_who_calls_again_has_hung_up_before() -> None:
    pbx, first, second = Exchange(), Dialog(call_id="1"), Dialog(call_id="2", from_tag="2")
    talk(pbx, first)
    assert pbx.say(CALLER, PROXY, second.request()) == ["offered"]
    assert pbx.wait(59) == []
    assert pbx.wait(2) == ["ended"]
    assert (pbx.last["call_id"], pbx.last["reason"], pbx.last["inferred"]) == ("1", "caller_called_again", True)
    assert pbx.say(PROXY, CALLER, second.response(200)) == ["answered"]


def test_a_late_bye_or_a_sign_of_life_settles_the_doubt() -> None:
    pbx, first, second = Exchange(), Dialog(call_id="1"), Dialog(call_id="2", from_tag="2")
    talk(pbx, first)
    pbx.say(CALLER, PROXY, second.request())
    assert pbx.say(CALLER, PROXY, first.request("BYE", tagged=True, cseq=2), after=1) == ["ended"]
    assert "inferred" not in pbx.last
    pbx.say(PROXY, CALLER, second.response(200))
    pbx.say(CALLER, PROXY, Dialog(call_id="3", from_tag="3").request(), after=1)
    pbx.say(CALLER, PROXY, second.request(tagged=True, cseq=2), after=1)  # a switchboard: this call is alive, as its session refresh says
    assert "ended" not in pbx.wait(120)


def test_nobody_elses_number_ends_a_call() -> None:
    pbx, call = Exchange(), Dialog(call_id="1")
    talk(pbx, call)
    pbx.say(("198.51.100.66", 5060), PROXY, Dialog(call_id="liar", from_tag="l").request())  # anybody can write a number into From
    pbx.say(CALLER, PROXY, Dialog(call_id="2", from_tag="2", caller="13893100002").request())
    assert "ended" not in pbx.wait(179)


def test_an_agent_who_takes_another_call_has_ended_the_one_before() -> None:
    pbx, first, second = Exchange(AGENTS), Dialog(call_id="1"), Dialog(call_id="2", from_tag="2", caller="13893100002")
    talk(pbx, first)
    talk(pbx, second)
    assert pbx.wait(61) == ["ended"]
    assert (pbx.last["call_id"], pbx.last["reason"]) == ("1", "agent_took_another")


def test_who_is_no_agent_by_configuration_may_take_many() -> None:
    """A queue, or the exchange's own address, answers for everybody."""
    pbx = Exchange(AGENTS)
    for number in range(3):
        talk(pbx, Dialog(call_id=str(number), from_tag=str(number), caller=f"1389310000{number}"), agent="queue")
    assert pbx.wait(179) == []


def test_a_call_on_hold_is_no_lost_end() -> None:
    pbx, first, second = Exchange(AGENTS), Dialog(call_id="1"), Dialog(call_id="2", from_tag="2", caller="13893100002")
    talk(pbx, first)
    pbx.say(PROXY, CALLER, with_body(first.request(tagged=True, by_callee=True, cseq=7), HOLD))
    talk(pbx, second)
    assert pbx.wait(300) == []
    pbx.say(PROXY, CALLER, with_body(first.request(tagged=True, by_callee=True, cseq=8), RESUME))
    assert pbx.say(CALLER, PROXY, first.request("BYE", tagged=True, cseq=2)) == ["ended"]
    assert "held" not in pbx.last


def test_the_older_way_to_hold_and_a_call_that_ends_on_hold() -> None:
    pbx, call = Exchange(AGENTS), Dialog()
    talk(pbx, call)
    pbx.say(PROXY, CALLER, with_body(call.request(tagged=True, by_callee=True, cseq=7), "c=IN IP4 0.0.0.0\r\nm=audio 4012 RTP/AVP 8\r\n"))
    pbx.say(CALLER, PROXY, call.request("BYE", tagged=True, cseq=2))
    assert pbx.last["held"] is True


def test_it_can_be_switched_off() -> None:
    pbx = Exchange(proof_s=0)
    talk(pbx, Dialog(call_id="1"))
    pbx.say(CALLER, PROXY, Dialog(call_id="2", from_tag="2").request())
    assert "ended" not in pbx.wait(179)


def test_a_refusal_after_ringing_or_in_the_queue_is_a_missed_call() -> None:
    """call_failed is for trunks and exchanges that refused; once people were rung it was they who did not come."""
    pbx, call = Exchange(), Dialog()
    pbx.say(CALLER, PROXY, call.request())
    pbx.say(PROXY, CALLER, call.response(180))
    assert pbx.say(PROXY, CALLER, call.response(503)) == ["missed"]
    assert pbx.last["reason"] == "failure"
    assert Action.FAIL not in TRANSITIONS[State.RINGING]


def test_calls_from_agents_outward_are_not_the_hotlines() -> None:
    pbx = Exchange(AGENTS)
    outward = Dialog(call_id="out", from_tag="o", caller="8001", called="13893100001", uri="sip:13893100001@192.0.2.20")
    for message in (outward.request(), outward.response(180), outward.response(200), outward.request("BYE", tagged=True, cseq=2)):
        assert pbx.say(AGENT, PROXY, message) == []
    shown = Dialog(call_id="out2", from_tag="o2", caller="12349", called="13893100001", uri="sip:13893100001@192.0.2.20")  # the hotline as caller id
    assert pbx.say(PROXY, CALLER, shown.request()) == []
    assert pbx.codec.live_calls == 0


def test_a_queue_that_was_learnt_is_known_after_a_restart() -> None:
    """The exchange rings agents with calls of its own: its 200 to the next caller is the queue's, also right after a restart."""
    pbx, first, leg = Exchange(), Dialog(call_id="a"), Dialog(call_id="a-leg", from_tag="l", called="8001")
    pbx.say(CALLER, PROXY, first.request())
    pbx.say(PROXY, OTHER_AGENT, leg.request())
    pbx.say(OTHER_AGENT, PROXY, leg.response(200))
    waiting = Dialog(call_id="w", from_tag="w", caller="13893100003")  # its own agent leg has not begun yet
    pbx.say(CALLER, PROXY, waiting.request())
    record = pbx.last
    assert record["rings_agents"] == [PROXY[0]]
    after = Exchange()
    assert after.codec.restore([record], after.now) == 1
    new = Dialog(call_id="n", from_tag="n", caller="13893100004")
    assert after.say(CALLER, PROXY, new.request()) == ["offered"]
    assert after.say(PROXY, CALLER, new.response(200)) == []  # the queue took it, no agent yet


# ---- location (RFC 6442)

PIDF = (
    '<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="pres:alice@example.com"><tuple id="t"><status>'
    '<gp:geopriv xmlns:gp="urn:ietf:params:xml:ns:pidf:geopriv10"><gp:location-info>'
    '<gs:Circle xmlns:gs="http://www.opengis.net/pidflo/1.0" xmlns:gml="http://www.opengis.net/gml" srsName="urn:ogc:def:crs:EPSG::4326">'
    '<gml:pos>36.0611 103.8343</gml:pos><gs:radius uom="urn:ogc:def:uom:EPSG::9001">30</gs:radius></gs:Circle>'
    "</gp:location-info><gp:method>GPS</gp:method></gp:geopriv></status></tuple></presence>"
)


def located(call: Dialog) -> bytes:
    sdp, pidf = "Content-Type: application/sdp", "Content-Type: application/pidf+xml\r\nContent-ID: <here@x>"
    body = f"--b\r\n{sdp}\r\n\r\nv=0\r\n\r\n--b\r\n{pidf}\r\n\r\n{PIDF}\r\n--b--\r\n"
    head = f"Geolocation: <cid:here@x>\r\nContent-Type: multipart/mixed; boundary=b\r\nContent-Length: {len(body)}"
    return call.request().replace(b"Content-Length: 0", head.encode()) + body.encode()


def test_the_location_of_a_trusted_peer_goes_with_every_event() -> None:
    pbx, call = Exchange(trusted=("192.0.2.20",)), Dialog()
    assert pbx.say(CALLER, PROXY, located(call)) == ["offered"]
    pbx.say(PROXY, CALLER, call.response(200))
    for signal in pbx.signals:
        assert (signal.lat, signal.lon, signal.accuracy_m, signal.position_source, signal.datum) == (36.0611, 103.8343, 30.0, "gnss", "wgs84")
    after = Exchange()
    after.codec.restore([pbx.last], after.now)
    after.say(CALLER, PROXY, call.request("BYE", tagged=True, cseq=2))
    assert after.signals[-1].lat == 36.0611


def test_nobody_else_says_where_a_caller_is() -> None:
    pbx = Exchange(trusted=("203.0.113.1",))
    assert pbx.say(CALLER, PROXY, located(Dialog())) == ["offered"]
    assert pbx.signals[-1].lat is None


def test_a_location_that_cannot_be_read_costs_no_call() -> None:
    pbx = Exchange(trusted=("192.0.2.20",))
    assert pbx.say(CALLER, PROXY, located(Dialog()).replace(b"36.0611 103.8343", b"somewhere, there")) == ["offered"]
    assert pbx.say(CALLER, PROXY, located(Dialog(call_id="2", from_tag="2", caller="13893100002")).replace(b"</presence>", b"")) == ["offered"]
    by_reference = Dialog(call_id="3", from_tag="3", caller="13893100003", extra="Geolocation: <https://192.0.2.1/here>")
    assert pbx.say(CALLER, PROXY, by_reference.request()) == ["offered"]
    assert all(signal.lat is None for signal in pbx.signals)
