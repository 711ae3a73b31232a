"""FreeSWITCH's event socket: framing, login, calls told by channels and by mod_callcenter, wishes. Written from freeswitch-esl.

No live server has been at hand: the events below carry the documented field names in the documented order of events.
"""

import json
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.contract import Rejected, Signal
from drivers.pbx.esl import EslCodec, EslOptions
from drivers.pbx.esl_message import MAX_BODY, Framer, read_event
from drivers.telephone import Answer, Dial, HangUp, Ring, Told, Transfer
from gateway.config import CallsConfig

AT = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
CALLS = CallsConfig(hotlines=("12349",), area_code="0931", agents={"8001": "坐席一"})
CALLER, AGENT, OTHER = "c-1", "a-1", "a-2"  # Unique-IDs
NUMBER = "+8617400000001"


def frame(body: bytes, kind: str) -> bytes:
    """Events start with Content-Length, replies with Content-Type (freeswitch-esl, 1)."""
    return f"Content-Length: {len(body)}\nContent-Type: {kind}\n\n".encode() + body


def as_json(fields: dict[str, str]) -> bytes:
    return frame(json.dumps(fields, ensure_ascii=False).encode(), "text/event-json")


def as_plain(fields: dict[str, str]) -> bytes:
    body = dict(fields)
    inner = body.pop("_body", "").encode()
    lines = "".join(f"{name}: {quote(value) if value else '_undef_'}\n" for name, value in body.items())
    if inner:
        lines += f"Content-Length: {len(inner)}\n"
    return frame(lines.encode() + b"\n" + inner, "text/event-plain")


def reply(text: str) -> bytes:
    return f"Content-Type: command/reply\nReply-Text: {text}\n\n".encode()


def rows(*found: dict[str, str]) -> bytes:
    told: dict[str, object] = {"row_count": len(found)}
    return frame(json.dumps(told | ({"rows": found} if found else {})).encode(), "api/response")


class Server:
    """Feeds one codec and keeps what came of it; `write` is how events are put on the wire."""

    def __init__(self, write=as_json, options: EslOptions | None = None) -> None:
        self.codec = EslCodec(options or EslOptions(password_file="x", password="geheim"), CALLS, "pbx")
        self.write = write
        self.now = 100.0
        self.said: list[str] = []
        self.found: list[Signal | Rejected] = []

    def feed(self, data: bytes) -> list[Signal | Rejected]:
        found = self.codec.receive_data(data, self.now, AT)
        self.said += [line for line in self.codec.data_to_send().decode().split("\n\n") if line]
        self.found += found
        return found

    def log_in(self, channels: bytes = b"", calls: bytes = b"") -> "Server":
        self.codec.connected(self.now)
        for answer in (b"Content-Type: auth/request\n\n", reply("+OK accepted"), reply("+OK event listener enabled json"), channels or rows()):
            self.feed(answer)
        self.feed(calls or rows())
        assert self.codec.is_ready
        return self

    def event(self, name: str, leg: str, **fields: str) -> list[Signal | Rejected]:
        self.now += 0.5
        stamp = str(int((AT.timestamp() + self.now - 100) * 1e6))
        told = {"Event-Name": name, "Core-UUID": "core-1", "Event-Date-Timestamp": stamp, "Unique-ID": leg}
        return self.feed(
            self.write(told | {key.replace("_", "-"): value for key, value in fields.items() if not key.startswith("v_")} | variables(fields))
        )

    def queue(self, action: str, **fields: str) -> list[Signal | Rejected]:
        told = {"CC_Action": action, "CC_Queue": "12349@default", "CC_Member_Session_UUID": CALLER}
        return self.event("CUSTOM", "", Event_Subclass="callcenter::info", **(told | fields))

    def offered(self, caller: str = "017400000001", **more: str) -> None:
        self.event("CHANNEL_CREATE", CALLER, Call_Direction="inbound", Caller_Destination_Number="12349", Caller_Caller_ID_Number=caller, **more)

    def rung(self, leg: str = AGENT, extension: str = "8001") -> None:
        self.event("CHANNEL_CREATE", leg, Call_Direction="outbound", Caller_Destination_Number=extension, Channel_Call_UUID=CALLER)
        self.event("CHANNEL_PROGRESS", leg, Call_Direction="outbound")

    @property
    def kinds(self) -> list[str]:
        return [str(one.kind).removeprefix("call_") for one in self.found if isinstance(one, Signal)]

    @property
    def last(self) -> dict[str, object]:
        signal = self.found[-1]
        assert isinstance(signal, Signal)
        return signal.detail


def variables(fields: dict[str, str]) -> dict[str, str]:
    return {"variable_" + key[2:]: value for key, value in fields.items() if key.startswith("v_")}


@pytest.fixture(params=[as_json, as_plain], ids=["json", "plain"])
def server(request) -> Server:
    return Server(request.param).log_in()


def test_the_login_is_what_the_event_socket_wants() -> None:
    server = Server().log_in()
    assert server.said[0] == "auth geheim"
    assert server.said[1].startswith("event json CHANNEL_CREATE ")
    assert server.said[1].endswith(" CUSTOM callcenter::info")  # every word after CUSTOM is a subclass
    assert server.said[2:] == ["api show channels as json", "api show calls as json"]


def test_a_user_logs_in_with_userauth() -> None:
    server = Server(options=EslOptions(password_file="x", password="geheim", user="gateway@default"))
    server.codec.connected(server.now)
    server.feed(b"Content-Type: auth/request\n\n")
    assert server.said == ["userauth gateway@default:geheim"]


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([b"Content-Type: auth/request\n\n", reply("-ERR invalid")], "password"),
        ([frame(b"Access Denied, go away.\n", "text/rude-rejection")], "access list"),
        ([b"Content-Type: auth/request\n\n", reply("+OK accepted"), reply("-ERR permission denied")], "permission denied"),
        ([frame(b"Disconnected, goodbye.\n", "text/disconnect-notice")], "closed"),
        ([b"Content-Length: many\n\n"], "bad_content_length"),
        ([f"Content-Length: {MAX_BODY + 1}\n\n".encode()], "body_too_long"),
        ([b"x" * 70_000], "headers_too_long"),
    ],
)
def test_why_the_connection_must_be_given_up(answers: list[bytes], words: str) -> None:
    server = Server()
    server.codec.connected(server.now)
    for answer in answers:
        server.feed(answer)
    assert words in server.codec.fault
    assert not server.codec.is_ready
    assert (server.codec.pause_s > 60) is (words == "password")  # sites ban addresses that try again and again
    server.codec.connected(server.now)
    assert (server.codec.fault, server.codec.pause_s) == ("", 0.0)


def test_a_lingering_disconnect_goes_on() -> None:
    server = Server().log_in()
    server.feed(b"Content-Type: text/disconnect-notice\nContent-Disposition: linger\nContent-Length: 4\n\nbye\n")
    assert server.codec.fault == ""


def test_silence_past_two_heartbeats_is_a_fault() -> None:
    server = Server().log_in()
    due = server.codec.deadline()
    assert due == server.now + 45
    server.codec.handle_deadline(due, AT)
    assert "silent" in server.codec.fault


def test_no_login_is_a_fault() -> None:
    server = Server()
    server.codec.connected(server.now)
    server.codec.handle_deadline(server.now + 10, AT)
    assert "no login" in server.codec.fault


def test_a_queue_call_is_answered_by_the_agent_not_by_the_queue(server: Server) -> None:
    server.offered()
    server.event("CHANNEL_ANSWER", CALLER, Call_Direction="inbound")  # the queue has it: no human
    server.queue("member-queue-start", CC_Member_UUID="m-1")
    server.rung()
    server.queue("agent-offering", CC_Agent="8001@default", CC_Agent_UUID=AGENT)
    assert server.kinds == ["offered", "ringing"]
    server.event("CHANNEL_ANSWER", AGENT, Call_Direction="outbound", Caller_Callee_ID_Number="8001")
    server.queue("bridge-agent-start", CC_Agent="8001@default", CC_Agent_UUID=AGENT)
    server.event("CHANNEL_BRIDGE", CALLER, Bridge_A_Unique_ID=CALLER, Bridge_B_Unique_ID=AGENT)
    assert server.kinds == ["offered", "ringing", "answered"]
    assert server.last["agent"] == "8001"
    assert server.last["agent_name"] == "坐席一"
    assert server.last["queue"] == "12349"
    assert server.last["caller_e164"] == NUMBER
    server.queue("member-queue-end", CC_Cause="Terminated")
    server.event("CHANNEL_HANGUP_COMPLETE", CALLER, Hangup_Cause="NORMAL_CLEARING", v_sip_hangup_disposition="recv_bye")
    assert server.kinds[-1] == "ended"
    assert (server.last["by"], server.last["cause"]) == ("caller", "NORMAL_CLEARING")


def test_the_agent_hangs_up(server: Server) -> None:
    server.offered()
    server.rung()
    server.event("CHANNEL_ANSWER", AGENT, Call_Direction="outbound")
    server.event("CHANNEL_HANGUP_COMPLETE", AGENT, Hangup_Cause="NORMAL_CLEARING", v_sip_hangup_disposition="recv_bye")
    assert server.kinds == ["offered", "ringing", "answered"]  # an agent's leg ends nothing
    server.event("CHANNEL_HANGUP_COMPLETE", CALLER, Hangup_Cause="NORMAL_CLEARING", v_sip_hangup_disposition="send_bye")
    assert (server.kinds[-1], server.last["by"]) == ("ended", "agent")


def test_the_caller_gives_up_in_the_queue(server: Server) -> None:
    server.offered()
    server.event("CHANNEL_ANSWER", CALLER, Call_Direction="inbound")
    server.queue("member-queue-start")
    server.rung()
    server.event("CHANNEL_HANGUP_COMPLETE", AGENT, Call_Direction="outbound", Hangup_Cause="ORIGINATOR_CANCEL")
    server.queue("member-queue-end", CC_Cause="Cancel", CC_Cancel_Reason="NONE")
    server.event("CHANNEL_HANGUP_COMPLETE", CALLER, Hangup_Cause="NORMAL_CLEARING", v_sip_hangup_disposition="recv_bye")
    assert (server.kinds[-1], server.last["by"]) == ("abandoned", "caller")


@pytest.mark.parametrize("why", ["TIMEOUT", "NO_AGENT_TIMEOUT"])
def test_the_queue_times_out(server: Server, why: str) -> None:
    server.offered()
    server.queue("member-queue-start")
    server.queue("member-queue-end", CC_Cause="Cancel", CC_Cancel_Reason=why)
    server.event("CHANNEL_HANGUP_COMPLETE", CALLER, Hangup_Cause="NORMAL_CLEARING", v_sip_hangup_disposition="send_bye")
    assert (server.kinds[-1], server.last["reason"]) == ("missed", "queue_timeout")


@pytest.mark.parametrize(
    ("cause", "disposition", "kind", "reason"),
    [
        ("ORIGINATOR_CANCEL", "recv_cancel", "abandoned", None),
        ("NO_ANSWER", "send_refuse", "missed", "no_answer"),
        ("USER_BUSY", "send_refuse", "missed", "busy"),
        ("CALL_REJECTED", "send_refuse", "missed", "declined"),
        ("UNALLOCATED_NUMBER", "send_refuse", "missed", "not_found"),
        ("NORMAL_TEMPORARY_FAILURE", "send_refuse", "missed", "failure"),
    ],
)
def test_why_a_call_without_an_answer_ended(server: Server, cause: str, disposition: str, kind: str, reason: str | None) -> None:
    server.offered()
    server.rung()
    server.event("CHANNEL_HANGUP_COMPLETE", CALLER, Hangup_Cause=cause, v_sip_hangup_disposition=disposition)
    assert (server.kinds[-1], server.last.get("reason")) == (kind, reason)


def test_two_agents_ring_one_wins(server: Server) -> None:
    server.offered()
    server.rung(AGENT, "8001")
    server.rung(OTHER, "8002")
    server.event("CHANNEL_ANSWER", OTHER, Call_Direction="outbound")
    server.event("CHANNEL_HANGUP_COMPLETE", AGENT, Call_Direction="outbound", Hangup_Cause="LOSE_RACE")
    assert server.kinds == ["offered", "ringing", "answered"]
    assert server.last["agent"] == "8002"


def test_another_agent_after_the_first_is_a_transfer(server: Server) -> None:
    server.offered()
    server.rung(AGENT, "8001")
    server.event("CHANNEL_ANSWER", AGENT, Call_Direction="outbound")
    server.rung(OTHER, "8002")
    server.event("CHANNEL_ANSWER", OTHER, Call_Direction="outbound")
    server.event("CHANNEL_HANGUP_COMPLETE", AGENT, Call_Direction="outbound", Hangup_Cause="BLIND_TRANSFER")
    server.event("CHANNEL_BRIDGE", CALLER, Bridge_A_Unique_ID=CALLER, Bridge_B_Unique_ID=OTHER)
    assert server.kinds == ["offered", "ringing", "answered", "transferred"]
    assert server.last["agent"] == "8002"


def test_a_renamed_channel_keeps_its_call(server: Server) -> None:
    server.offered()
    server.event("CHANNEL_UUID", "c-9", Old_Unique_ID=CALLER)
    server.event("CHANNEL_HANGUP_COMPLETE", "c-9", Hangup_Cause="ORIGINATOR_CANCEL", v_sip_hangup_disposition="recv_cancel")
    assert server.kinds == ["offered", "abandoned"]


def test_numbers_names_and_what_is_hidden(server: Server) -> None:
    server.offered(
        "anonymous", Caller_ANI="017400000001", Caller_Caller_ID_Name="王秀兰", Caller_Privacy_Hide_Number="true", Caller_RDNIS="09318412345"
    )
    assert server.last["caller_e164"] == NUMBER
    assert server.last["caller_name"] == "王秀兰"
    assert server.last["presentation"] == "restricted"
    assert server.last["redirecting"] == "09318412345"


def test_a_number_learnt_late_is_a_correction(server: Server) -> None:
    server.offered("anonymous")
    assert server.last["caller_e164"] is None
    server.event("CALL_UPDATE", CALLER, Caller_Caller_ID_Number="017400000001")
    assert (server.last["correction"], server.last["caller_e164"]) == (True, NUMBER)
    assert server.event("CALL_UPDATE", CALLER, Caller_Caller_ID_Number="017400000001") == []


def test_calls_that_are_not_at_a_hotline_are_nobodys_business(server: Server) -> None:
    server.event("CHANNEL_CREATE", "x", Call_Direction="inbound", Caller_Destination_Number="8002", Caller_Caller_ID_Number="8001")
    server.event("CHANNEL_HANGUP_COMPLETE", "x", Hangup_Cause="NORMAL_CLEARING")
    assert server.found == []


def test_a_name_in_gb18030_does_not_cost_the_event() -> None:
    server = Server().log_in()
    body = json.dumps({"Event-Name": "CHANNEL_CREATE", "Unique-ID": "c", "Call-Direction": "inbound", "Caller-Destination-Number": "12349"}).encode()
    server.feed(frame(body[:-1] + ', "Caller-Caller-ID-Name": "王秀兰"}'.encode("gb18030"), "text/event-json"))
    assert server.last["caller_name"] == "王秀兰"


def test_an_unreadable_event_is_kept_and_the_next_one_read(server: Server) -> None:
    assert [one.reason for one in server.feed(frame(b"{no json", "text/event-json")) if isinstance(one, Rejected)] == ["unreadable_event"]
    server.offered()
    assert server.kinds == ["offered"]


def test_any_split_gives_the_same() -> None:
    whole = Server().log_in()
    whole.offered()
    stream = as_json({"Event-Name": "CHANNEL_PROGRESS", "Unique-ID": AGENT, "Call-Direction": "outbound", "Channel-Call-UUID": CALLER, "名": "值"})
    stream += as_plain({"Event-Name": "BACKGROUND_JOB", "Job-UUID": "j", "_body": "+OK x\n"}) + reply("+OK")
    for cut in range(1, len(stream)):
        framer = Framer()
        frames = framer.feed(stream[:cut]) + framer.feed(stream[cut:])
        assert [found.kind for found in frames] == ["text/event-json", "text/event-plain", "command/reply"]
        event = read_event(frames[1])
        assert event is not None
        assert event["_body"] == "+OK x\n"


def test_crlf_is_taken_too() -> None:
    frames = Framer().feed(b"\r\nContent-Type: command/reply\r\nReply-Text: +OK\r\n\r\nContent-Type: auth/request\n\n")
    assert [(found.kind, found.reply) for found in frames] == [("command/reply", "+OK"), ("auth/request", "")]


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_bytes_never_raise(data) -> None:
    """A true stream with octets changed, dropped and doubled: the codec reads on, or says why the connection must be given up."""
    server = Server().log_in()
    stream = bytearray(as_json({"Event-Name": "CHANNEL_CREATE", "Unique-ID": "c", "Call-Direction": "inbound", "Caller-Destination-Number": "12349"}))
    stream += as_plain({"Event-Name": "BACKGROUND_JOB", "Job-UUID": "j", "_body": "+OK x\n"}) + reply("+OK") + rows(channel("c"))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(stream) - 1))
        stream[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    server.feed(bytes(stream))
    assert server.codec.fault in ("", "bad_content_length", "body_too_long", "headers_too_long")


def channel(uuid: str, dest: str = "12349", number: str = "017400000001") -> dict[str, str]:
    return {"uuid": uuid, "direction": "inbound", "dest": dest, "cid_num": number, "callstate": "ACTIVE"}


def test_after_a_reconnect_the_gap_is_reconciled() -> None:
    server = Server().log_in()
    server.offered()
    server.rung()
    server.event("CHANNEL_ANSWER", AGENT, Call_Direction="outbound")
    server.codec.disconnected(server.now)
    assert not server.codec.is_ready
    server.log_in(rows(channel("c-2")), rows({"uuid": "c-2", "b_uuid": "a-7", "b_dest": "8002"}))
    ended, offered, answered = (one for one in server.found[-3:] if isinstance(one, Signal))
    assert (ended.kind, ended.detail["inferred"], ended.detail["reason"]) == ("call_ended", True, "lost_while_disconnected")
    assert (offered.kind, answered.kind, answered.detail["agent"]) == ("call_offered", "call_answered", "8002")


def test_a_call_that_goes_on_over_a_reconnect_is_told_once() -> None:
    server = Server().log_in()
    server.offered()
    server.log_in(rows(channel(CALLER)))
    assert server.kinds == ["offered"]


def test_another_core_means_everything_is_over() -> None:
    server = Server().log_in()
    server.offered()
    server.feed(as_json({"Event-Name": "HEARTBEAT", "Core-UUID": "core-2"}))
    assert (server.kinds[-1], server.last["reason"]) == ("ended", "exchange_restarted")


def test_our_own_restart_takes_live_calls_up() -> None:
    before = Server().log_in()
    before.offered()
    after = Server()
    assert after.codec.restore([before.last], after.now) == 1
    after.log_in(rows(channel(CALLER)))
    assert after.found == []
    after.event("CHANNEL_HANGUP_COMPLETE", CALLER, Hangup_Cause="ORIGINATOR_CANCEL", v_sip_hangup_disposition="recv_cancel")
    assert (after.kinds, after.last["call"]) == (["abandoned"], before.last["call"])


# ---- wishes


def ask(server: Server, wish: object) -> list[str]:
    server.codec.ask(wish, 7, server.now)
    sent = server.codec.data_to_send().decode()
    return [command for command in sent.split("\n\n") if command]


def test_click_to_dial_rings_the_agent_first_then_the_number() -> None:
    server = Server().log_in()
    [command] = ask(server, Dial(id="d1", agent="8001", number="017400000009", shown="12349"))
    assert command == (
        "bgapi originate {origination_uuid=d1,gateway_id=d1,originate_timeout=30,ignore_early_media=true,origination_caller_id_number=12349}user/8001"
        " &bridge([gateway_id=d1,leg_timeout=30,origination_caller_id_number=12349]sofia/gateway/trunk/017400000009)\nJob-UUID: d1"
    )
    server.feed(reply("+OK Job-UUID: d1"))
    server.event("CHANNEL_CREATE", "d1", Call_Direction="outbound", v_gateway_id="d1", Caller_Destination_Number="8001")
    server.feed(as_json({"Event-Name": "BACKGROUND_JOB", "Job-UUID": "d1", "_body": "+OK d1\n"}))
    assert server.codec.answers() == []
    server.event("CHANNEL_BRIDGE", "d1", Bridge_A_Unique_ID="d1", Bridge_B_Unique_ID="far")
    assert server.codec.answers() == [(7, Told(outcome="done"))]
    assert server.found == []  # what we dial is no call at the hotline
    assert ask(server, HangUp(call="d1")) == ["bgapi uuid_kill d1\nJob-UUID: hangup-7"]  # and can be ended while they talk
    server.event("CHANNEL_HANGUP_COMPLETE", "d1", Hangup_Cause="NORMAL_CLEARING")
    ask(server, HangUp(call="d1"))
    assert server.codec.answers() == [(7, Told(outcome="unknown_call"))]


@pytest.mark.parametrize(
    ("cause", "outcome"), [("USER_BUSY", "busy"), ("NO_ANSWER", "no_answer"), ("CALL_REJECTED", "refused"), ("GATEWAY_DOWN", "failed")]
)
def test_what_became_of_dialling(cause: str, outcome: str) -> None:
    server = Server().log_in()
    ask(server, Dial(id="d1", agent="8001", number="017400000009"))
    server.feed(as_json({"Event-Name": "BACKGROUND_JOB", "Job-UUID": "d1", "_body": f"-ERR {cause}\n"}))
    assert server.codec.answers() == [(7, Told(outcome=outcome, reason=cause.lower()))]


def test_a_key_press_is_the_answer_of_who_was_rung() -> None:
    server = Server().log_in()
    [command] = ask(server, Ring(id="r1", number="017400000009", keys=("1", "2")))
    assert "&endless_playback(" in command
    server.event("CHANNEL_ANSWER", "r1", Call_Direction="outbound")
    server.event("DTMF", "r1", DTMF_Digit="9")
    assert server.codec.answers() == []
    server.event("DTMF", "r1", DTMF_Digit="2")
    assert server.codec.answers() == [(7, Told(outcome="done", key="2"))]
    assert server.said[-1] == "bgapi uuid_kill r1"


def test_taken_and_no_key_pressed() -> None:
    server = Server().log_in()
    ask(server, Ring(id="r1", number="017400000009"))
    server.event("CHANNEL_ANSWER", "r1", Call_Direction="outbound")
    server.codec.handle_deadline(server.now + 20, AT)
    assert server.codec.answers() == [(7, Told(outcome="no_key", reason="timeout"))]
    assert server.codec.data_to_send() == b"bgapi uuid_kill r1\n\n"


def test_hanging_up_and_transferring_a_hotline_call() -> None:
    server = Server().log_in()
    server.offered()
    key = str(server.last["call"])
    assert ask(server, HangUp(call=key)) == ["bgapi uuid_kill c-1\nJob-UUID: hangup-7"]
    assert ask(server, Transfer(call=key, to="8002")) == ["bgapi uuid_transfer c-1 8002 XML default\nJob-UUID: transfer-7"]
    assert ask(server, Answer(call=key, agent="8001")) == ["bgapi uuid_transfer c-1 8001 XML default\nJob-UUID: answer-7"]
    server.feed(as_json({"Event-Name": "BACKGROUND_JOB", "Job-UUID": "answer-7", "_body": "+OK\n"}))
    assert server.codec.answers() == [(7, Told(outcome="done"))]
    server.feed(as_json({"Event-Name": "BACKGROUND_JOB", "Job-UUID": "hangup-7", "_body": "+OK\n"}))
    server.feed(as_json({"Event-Name": "BACKGROUND_JOB", "Job-UUID": "transfer-7", "_body": "-ERR No such channel!\n"}))
    assert [told.outcome for _, told in server.codec.answers()] == ["done", "unknown_call"]
    ask(server, HangUp(call="nobody"))
    assert server.codec.answers() == [(7, Told(outcome="unknown_call"))]


@pytest.mark.parametrize("number", ["1}user/x", "1\n\nbgapi system rm", "1 &bridge(x)", "1,x=y", ""])
def test_nothing_that_is_syntax_enters_a_dial_string(number: str) -> None:
    server = Server().log_in()
    for wish in (Dial(id="d", agent="8001", number=number), Dial(id="d", agent=number, number="1"), Ring(id="d", number=number)):
        assert ask(server, wish) == []
        assert server.codec.answers() == [(7, Told(outcome="refused", reason="bad_number"))]


def test_wishes_are_lost_with_the_connection_and_refused_without_one() -> None:
    server = Server().log_in()
    ask(server, Ring(id="r1", number="1"))
    server.codec.disconnected(server.now)
    ask(server, Ring(id="r2", number="1"))
    assert [told.outcome for _, told in server.codec.answers()] == ["lost", "lost"]


def test_freeswitch_names_a_recording() -> None:
    server = Server().log_in()
    server.offered()
    server.rung()
    assert server.event("RECORD_START", CALLER, Record_File_Path="/var/lib/freeswitch/recordings/in-12349.wav") == []
    server.event("CHANNEL_ANSWER", AGENT, Call_Direction="outbound")
    assert server.last["recording"] == "/var/lib/freeswitch/recordings/in-12349.wav"
    assert server.event("RECORD_START", "nobody", Record_File_Path="/etc/passwd") == []
