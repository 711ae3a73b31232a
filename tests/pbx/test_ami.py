"""The AMI codec: observed sequences become the right calls however the bytes are cut; login, pings, snapshots, what goes wrong."""

import hashlib
import random
from datetime import timedelta

import pytest
from codec_checks import mutate

from drivers.contract import Rejected, Signal
from drivers.pbx.ami import PING_S, REFUSED_S
from drivers.pbx.ami_message import MAX_MESSAGE, Framer, Message, write_action
from gateway.event import Kind
from tests.pbx.ami_wire import AT, BANNER, FOLDER, Desk, add_up, channel, expected, feed, listening, look, message, recording

NAMES = sorted(path.stem for path in FOLDER.glob("*.txt"))
SHORT = ("dial_busy", "dial_cancelled", "late_number")
CALLER = channel("PJSIP/trunk-00000001", "+8617400000001", "1.1")
AGENT = channel("PJSIP/8001-00000002", "8001", "1.2", "1.1", ChannelState=0, Context="agents", Exten="")


def event(name: str, *parts: dict[str, object], **fields: object) -> bytes:
    merged: dict[str, object] = {}
    for part in parts:
        merged |= part
    return message(f"Event: {name}", **{**merged, **fields})


def dest(leg: dict[str, object]) -> dict[str, object]:
    return {f"Dest{key}": value for key, value in leg.items()}


def listed(of: dict[str, object], **fields: object) -> bytes:
    return event("CoreShowChannel", of, **{"ActionID": "x", "Application": "Queue", "Duration": "00:00:30", "BridgeId": ""} | fields)


# ---- vectors


def test_there_are_vectors() -> None:
    assert len(NAMES) >= 12


@pytest.mark.parametrize("name", NAMES)
def test_the_calls_of_a_recording(name: str) -> None:
    calls = add_up(feed(listening(), [recording(name)]))
    wanted = expected(name)
    assert len(calls) == len(wanted)
    for call, want in zip(calls, wanted, strict=True):
        detail = want.pop("detail", {})
        assert {key: call["detail"].get(key) for key in detail} == detail
        assert {key: call[key] for key in want} == want


@pytest.mark.parametrize("name", NAMES)
def test_cut_anywhere_it_is_the_same(name: str) -> None:
    wire = recording(name)
    whole = look(feed(listening(), [wire]))
    assert look(feed(listening(), [wire[at : at + 1] for at in range(len(wire))])) == whole
    for at in range(1, len(wire), 1 if name in SHORT else 199):
        assert look(feed(listening(), [wire[:at], wire[at:]])) == whole, at


@pytest.mark.parametrize("name", SHORT)
def test_lines_may_end_in_lf_alone(name: str) -> None:
    wire = recording(name)
    bare = feed(listening(), [wire.replace(b"\r\n", b"\n")])
    assert [one.detail for one in bare if isinstance(one, Signal)] == [one.detail for one in feed(listening(), [wire]) if isinstance(one, Signal)]
    assert bare


@pytest.mark.parametrize("name", SHORT)
def test_no_flipped_bit_raises(name: str) -> None:
    wire = recording(name)
    for at in range(0, len(wire), 3):
        codec = listening()
        feed(codec, [wire[:at], bytes([wire[at] ^ 1 << at % 8]), wire[at + 1 :]])
        for _ in range(10):
            deadline = codec.deadline()
            if deadline is None:
                break
            codec.handle_deadline(deadline, AT)
        assert codec.deadline() is None


@pytest.mark.parametrize("name", ["queue_ring_all", "queue_abandoned", "queue_timeout", "dial_no_answer", "blind_transfer"])
def test_what_is_said_twice_is_told_once(name: str) -> None:
    blocks = recording(name).removeprefix(BANNER).split(b"\r\n\r\n")[:-1]
    doubled = BANNER + b"".join((block + b"\r\n\r\n") * 2 for block in blocks)
    once, twice = feed(listening(), [recording(name)]), feed(listening(), [doubled])
    assert [one.kind for one in twice if isinstance(one, Signal)] == [one.kind for one in once if isinstance(one, Signal)]


def test_every_event_has_an_identity_of_its_own() -> None:
    for name in NAMES:
        found = [one.dedup for one in feed(listening(), [recording(name)]) if isinstance(one, Signal)]
        assert len(set(found)) == len(found)


def test_a_flood_of_events_changes_nothing_and_is_skipped_unread() -> None:
    """One measured queue call was 126 events, 47 of them VarSet."""
    blocks = recording("queue_ring_all").removeprefix(BANNER).split(b"\r\n\r\n")[:-1]
    noise = message("Event: VarSet", Privilege="dialplan,all", Channel="PJSIP/trunk-00000001", Variable="A", Value="x" * 3000, Uniqueid="1.1")
    flood = BANNER
    for number, block in enumerate(blocks):
        flood += block + b"\r\n\r\n" + noise * (5 if number % 2 else 2)
    codec = listening()
    found = feed(codec, [flood])
    assert look(found) == look(feed(listening(), [recording("queue_ring_all")]))
    assert codec.counts["skipped"] > 3 * len(blocks)
    assert codec.counts["messages"] == len(blocks)


def test_two_servers_with_the_same_uniqueid_have_two_calls() -> None:
    one, other = (feed(listening(line=line), [recording("dial_busy")]) for line in ("pbx-a", "pbx-b"))
    keys = {signal.detail["call"] for signal in (*one, *other) if isinstance(signal, Signal)}
    assert len(keys) == 2
    assert {signal.detail["exchange_call"] for signal in (*one, *other) if isinstance(signal, Signal)} == {"1781236800.1"}


# ---- messages


def test_names_in_gb18030_values_with_colons_and_keys_that_repeat() -> None:
    raw = "Event: Newchannel\r\nCallerIDName: 王芳\r\n".encode("gb18030") + b"Note: a: b: c\r\nState: 1\r\nState: 2\r\nAccountCode: \r\n\r\n"
    [one] = Framer().feed(raw)
    assert isinstance(one, Message)
    assert (one["CallerIDName"], one["Note"], one["State"], one["AccountCode"], one["Absent"]) == ("王芳", "a: b: c", "1", "", "")
    assert one.lists == {"State": ["1", "2"]}


@pytest.mark.parametrize("value", ["<unknown>", "", "unknown", "Anonymous", "restricted"])
def test_words_for_nothing(value: str) -> None:
    found = feed(listening(), [event("Newchannel", CALLER, CallerIDNum=value, CallerIDName=value)])
    [offered] = [one for one in found if isinstance(one, Signal)]
    assert (offered.device, offered.detail["caller"], offered.detail["identity_source"]) == (None, "", "none")
    assert "caller_name" not in offered.detail
    assert offered.detail["presentation"] == ("restricted" if value.lower() in ("anonymous", "restricted") else "allowed")


@pytest.mark.parametrize("cut", [1, 1000, MAX_MESSAGE + 100])
def test_a_message_beyond_all_bounds_is_dropped_and_the_next_is_read(cut: int) -> None:
    wire = b"Event: Newchannel\r\nChannel: " + b"x" * (3 * MAX_MESSAGE) + b"\r\n\r\n" + event("Newchannel", CALLER)
    codec = listening()
    size = 4096 if cut == 1 else cut
    found = feed(codec, [wire[at : at + size] for at in range(0, len(wire), size)])
    assert [one.reason if isinstance(one, Rejected) else one.kind for one in found] == ["too_long", Kind.CALL_OFFERED]


def test_garbage_is_rejected_with_a_reason() -> None:
    [one, two] = feed(listening(), [b"Hello: you\r\n\r\n", event("Newchannel", CALLER)])
    assert isinstance(one, Rejected)
    assert one.reason == "unparsable"
    assert isinstance(two, Signal)


def test_an_action_cannot_be_smuggled_into_a_value() -> None:
    with pytest.raises(ValueError, match="line end"):
        write_action("Hangup", {"Channel": "x\r\nAction: Originate"})


def test_the_exchanges_clock_is_believed_only_near_ours() -> None:
    desk = Desk()
    desk.connect()
    near = (AT + timedelta(seconds=2)).timestamp()
    [one] = desk.say(event("Newchannel", CALLER, Timestamp=f"{near:.6f}"))
    [two] = desk.say(event("Newchannel", channel("PJSIP/trunk-9", "+8617400000009", "9.9"), Timestamp=f"{near + 60:.6f}"))
    assert isinstance(one, Signal)
    assert isinstance(two, Signal)
    assert (one.time, two.time) == (AT + timedelta(seconds=2), None)
    assert desk.codec.counts["clock_disagrees"] == 1


# ---- which calls are ours


def test_a_trunk_whose_number_is_s_by_its_context_and_a_queue_by_its_name() -> None:
    codec = listening(contexts={"from-pstn": "12349"}, queues={"helpline": "12345"})
    [one] = feed(codec, [event("Newchannel", CALLER, Context="from-pstn", Exten="s")])
    assert isinstance(one, Signal)
    assert (one.detail["hotline"], one.detail["called"]) == ("12349", "12349")
    other = channel("PJSIP/trunk-2", "+8617400000002", "2.1", Context="ivr", Exten="s")
    assert feed(codec, [event("Newchannel", other)]) == []
    [two] = feed(codec, [event("QueueCallerJoin", other, Queue="helpline", Position=2, Count=2)])
    assert isinstance(two, Signal)
    assert two.detail["hotline"] == "12345"


def test_an_originated_channel_is_not_a_caller() -> None:
    found = feed(listening(), [event("Newchannel", CALLER, ChannelState=0), event("Newstate", CALLER, ChannelState=5)])
    assert found == []


def test_an_analogue_line_rings_after_it_was_down() -> None:
    [one] = feed(listening(), [event("Newchannel", CALLER, ChannelState=0), event("Newstate", CALLER, ChannelState=4)])
    assert isinstance(one, Signal)
    assert one.kind is Kind.CALL_OFFERED


def test_the_callers_leg_being_up_is_no_answer() -> None:
    found = feed(listening(), [event("Newchannel", CALLER), event("Newstate", CALLER, ChannelState=6)])
    assert [one.kind for one in found if isinstance(one, Signal)] == [Kind.CALL_OFFERED]


def test_a_pickup_is_seen_by_the_bridge_alone() -> None:
    picker = channel("PJSIP/8002-00000007", "8002", "7.7", Context="agents", Exten="*8")
    codec = listening()
    wire = [event("Newchannel", CALLER), event("Newchannel", AGENT), event("Newstate", AGENT, ChannelState=5), event("Newchannel", picker)]
    wire += [event("BridgeEnter", CALLER, BridgeUniqueid="b"), event("BridgeEnter", picker, Linkedid="1.1", BridgeUniqueid="b")]
    kinds = [(one.kind, one.detail.get("agent")) for one in feed(codec, wire) if isinstance(one, Signal)]
    assert kinds == [(Kind.CALL_OFFERED, None), (Kind.CALL_RINGING, None), (Kind.CALL_ANSWERED, "8002")]


def test_an_agent_behind_a_local_channel_is_found_through_it() -> None:
    """As with a transfer by feature code: the caller shares a bridge with one half, the new agent with the other."""
    one = channel("Local/8002@agents-00000001;1", "8002", "8.1", Context="agents", Exten="8002")
    two = channel("Local/8002@agents-00000001;2", "<unknown>", "8.2", "8.1", Context="agents", Exten="8002")
    agent = channel("PJSIP/8002-00000007", "8002", "7.7", "8.1", Context="agents", Exten="")
    halves = {f"LocalOne{key}": value for key, value in one.items()} | {f"LocalTwo{key}": value for key, value in two.items()}
    codec = listening()
    feed(codec, [event("Newchannel", CALLER), event("Newchannel", AGENT), event("DialEnd", CALLER, dest(AGENT), DialStatus="ANSWER")])
    feed(codec, [event("Newchannel", leg, ChannelState=0) for leg in (one, two, agent)] + [event("LocalBridge", halves)])
    feed(codec, [event("BridgeEnter", leg, BridgeUniqueid="far") for leg in (two, agent)])
    assert feed(codec, [event("BridgeEnter", one, BridgeUniqueid="near")]) == []
    [told] = feed(codec, [event("BridgeEnter", CALLER, BridgeUniqueid="near")])
    assert isinstance(told, Signal)
    assert (told.kind, told.detail["agent"]) == (Kind.CALL_TRANSFERRED, "8002")


@pytest.mark.parametrize("seed", range(4))
def test_mutated_conversations_never_raise(seed: int) -> None:
    rng = random.Random(seed)
    blocks = [block + b"\r\n\r\n" for name in NAMES for block in recording(name).removeprefix(BANNER).split(b"\r\n\r\n") if block]
    desk = Desk()
    desk.connect()
    for _ in range(1500):
        desk.now += rng.choice((0.0, 0.01, 5.0, 90.0))
        desk.say(mutate(blocks, rng))
        desk.advance(0)
        if desk.codec.fault:
            desk.codec.disconnected(desk.now)
            desk.codec.connected(desk.now)
            desk.say(BANNER)
        desk.codec.data_to_send()
    assert desk.codec.live_calls < 1500
    assert desk.signals


def test_a_third_party_in_the_bridge_is_no_transfer_until_the_agent_leaves() -> None:
    codec = listening()
    third = channel("PJSIP/8002-00000007", "8002", "7.7", "1.1", Context="agents", Exten="")
    feed(codec, [event("Newchannel", CALLER), event("Newchannel", AGENT), event("DialEnd", CALLER, dest(AGENT), DialStatus="ANSWER")])
    feed(codec, [event("BridgeEnter", one, BridgeUniqueid="b") for one in (CALLER, AGENT)])
    assert feed(codec, [event("Newchannel", third, ChannelState=0), event("BridgeEnter", third, BridgeUniqueid="b")]) == []
    [one] = feed(codec, [event("BridgeLeave", AGENT, BridgeUniqueid="b")])
    assert isinstance(one, Signal)
    assert (one.kind, one.detail["agent"]) == (Kind.CALL_TRANSFERRED, "8002")


def test_a_number_that_the_dialplan_gave_to_the_agents_leg_is_not_the_agent() -> None:
    leg = AGENT | {"CallerIDNum": "12349"}
    found = feed(listening(), [event("Newchannel", CALLER), event("Newchannel", leg), event("DialEnd", CALLER, dest(leg), DialStatus="ANSWER")])
    assert [one.detail.get("agent") for one in found if isinstance(one, Signal)] == [None, "8001"]


def test_a_renamed_channel_is_hung_up_by_its_new_name() -> None:
    from drivers.telephone import HangUp

    desk = Desk()
    desk.connect()
    [offered] = desk.say(event("Newchannel", CALLER))
    desk.say(event("Rename", Channel="PJSIP/trunk-00000001", Newname="PJSIP/trunk-00000055", Uniqueid="1.1"))
    assert isinstance(offered, Signal)
    desk.codec.ask(HangUp(call=str(offered.detail["call"])), 1, desk.now)
    assert desk.sent()[-1]["Channel"] == "PJSIP/trunk-00000055"


# ---- login


def test_login_by_digest_after_the_banner_only() -> None:
    desk = Desk(events="call,agent")
    desk.codec.connected(desk.now)
    assert desk.sent() == []
    desk.say(BANNER[:10])
    assert desk.sent() == []
    desk.say(BANNER[10:])
    [challenge] = desk.sent()
    assert (challenge["Action"], challenge["AuthType"]) == ("Challenge", "MD5")
    desk.say(message("Response: Success", ActionID=challenge["ActionID"], Challenge="840415273"))
    [login] = desk.sent()
    assert login["Key"] == hashlib.md5(b"840415273s3cret").hexdigest()
    assert (login["Action"], login["AuthType"], login["Username"], login["Events"]) == ("Login", "MD5", "gateway", "call,agent")
    assert "Secret" not in login
    assert not desk.codec.is_ready


def test_a_server_without_challenge_gets_the_secret() -> None:
    desk = Desk()
    desk.codec.connected(desk.now)
    desk.say(BANNER)
    [challenge] = desk.sent()
    desk.say(message("Response: Error", ActionID=challenge["ActionID"], Message="Must specify AuthType"))
    [login] = desk.sent()
    assert login["Secret"] == "s3cret"
    assert "AuthType" not in login


def test_a_wrong_password_names_user_and_file_and_waits_long() -> None:
    desk = Desk()
    desk.codec.connected(desk.now)
    desk.say(BANNER)
    [challenge] = desk.sent()
    desk.say(message("Response: Success", ActionID=challenge["ActionID"], Challenge="1"))
    [login] = desk.sent()
    desk.say(message("Response: Error", ActionID=login["ActionID"], Message="Authentication failed"))
    assert "'gateway'" in desk.codec.fault
    assert "ami.secret" in desk.codec.fault
    assert "s3cret" not in desk.codec.fault
    assert desk.codec.pause_s == REFUSED_S
    desk.codec.connected(desk.now)
    assert (desk.codec.fault, desk.codec.pause_s) == ("", 0.0)


def test_another_service_never_sees_our_login() -> None:
    desk = Desk()
    desk.codec.connected(desk.now)
    [one] = desk.say(b"SSH-2.0-OpenSSH_9.2\r\n")
    assert isinstance(one, Rejected)
    assert one.reason == "no_ami"
    assert "no Asterisk" in desk.codec.fault
    assert desk.sent() == []


def test_without_read_class_system_it_goes_on_after_a_while() -> None:
    desk = Desk()
    desk.log_in()
    assert not desk.codec.is_ready
    desk.advance(6)
    assert desk.codec.is_ready
    assert [one["Action"] for one in desk.sent()] == ["CoreShowChannels", "QueueStatus"]


def test_nobody_answers_the_login() -> None:
    desk = Desk()
    desk.codec.connected(desk.now)
    desk.advance(20)
    assert "no login" in desk.codec.fault


def test_two_pings_unanswered_and_the_connection_is_given_up() -> None:
    desk = Desk()
    desk.connect()
    desk.advance(PING_S)
    pings = [one for one in desk.sent() if one["Action"] == "Ping"]
    assert len(pings) == 1
    desk.say(message("Response: Success", ActionID=pings[0]["ActionID"], Ping="Pong"))
    desk.advance(2 * PING_S)
    assert desk.codec.fault == ""
    desk.advance(PING_S)
    assert "pings unanswered" in desk.codec.fault


def test_a_shutdown_is_a_reason_to_connect_again() -> None:
    desk = Desk()
    desk.connect()
    desk.say(message("Event: Shutdown", Privilege="system,all", Shutdown="Cleanly", Restart="True"))
    assert desk.codec.fault


# ---- snapshots


def test_calls_in_progress_are_opened_with_queue_agent_and_age() -> None:
    desk = Desk()
    talking = listed(CALLER, ChannelState=6, BridgeId="b-1", Duration="00:01:05")
    agent = listed(AGENT, ChannelState=6, BridgeId="b-1", Application="AppQueue")
    waiting = channel("PJSIP/trunk-00000003", "+8617400000003", "1.3", ChannelState=6)
    entry = message("Event: QueueEntry", ActionID="x", Queue="help", Position=1, Channel="PJSIP/trunk-00000003", Uniqueid="1.3", Wait=30)
    found = desk.connect((talking, agent, listed(waiting)), (entry,))
    seen = [(one.kind, one.device, one.detail.get("agent"), one.detail.get("inferred")) for one in found if isinstance(one, Signal)]
    assert seen == [
        (Kind.CALL_OFFERED, "+8617400000001", None, True),
        (Kind.CALL_OFFERED, "+8617400000003", None, True),
        (Kind.CALL_ANSWERED, "+8617400000001", "8001", True),
    ]
    assert isinstance(found[0], Signal)
    assert found[0].time == AT - timedelta(seconds=65)
    [ended] = desk.say(event("HangupRequest", waiting, Cause=16), event("Hangup", waiting, Cause=16))
    assert isinstance(ended, Signal)
    assert (ended.kind, ended.detail["queue"]) == (Kind.CALL_ABANDONED, "help")


def test_a_reset_in_mid_call_what_is_gone_is_ended_what_stands_goes_on() -> None:
    desk = Desk()
    desk.connect()
    gone = channel("PJSIP/trunk-00000009", "+8617400000009", "1.9")
    desk.say(event("Newchannel", CALLER), event("Newchannel", AGENT), event("Newchannel", gone))
    desk.codec.disconnected(desk.now)
    desk.advance(8)
    found = desk.connect(
        (listed(CALLER, ChannelState=6, BridgeId="b"), listed(AGENT, ChannelState=6, BridgeId="b", Application="AppDial")), uptime=100_000
    )
    seen = [(one.kind, one.device, one.detail.get("reason"), one.detail.get("inferred")) for one in found if isinstance(one, Signal)]
    assert seen == [
        (Kind.CALL_ENDED, "+8617400000009", "lost_while_disconnected", True),
        (Kind.CALL_ANSWERED, "+8617400000001", None, True),
    ]
    [ended] = desk.say(event("Hangup", CALLER, Cause=16))
    assert isinstance(ended, Signal)
    assert (ended.kind, ended.detail.get("inferred")) == (Kind.CALL_ENDED, None)


def test_an_uptime_that_is_no_number_of_seconds_says_nothing() -> None:
    desk = Desk()
    desk.connect()
    desk.codec.disconnected(desk.now)
    desk.advance(3)
    desk.log_in()
    desk.say(message("Event: FullyBooted", Uptime="9" * 5000))
    desk.snapshot()
    assert (desk.codec.is_ready, desk.codec.fault) == (True, "")


def test_a_call_that_began_while_the_list_came_is_not_ended_by_it() -> None:
    desk = Desk()
    desk.connect()
    desk.codec.disconnected(desk.now)
    desk.advance(3)
    desk.log_in()
    desk.say(message("Event: FullyBooted", Uptime=90_000))
    desk.say(event("Newchannel", CALLER))
    assert desk.snapshot() == []
    assert desk.codec.live_calls == 1


def test_asterisk_was_restarted_all_its_calls_are_gone() -> None:
    desk = Desk()
    desk.connect()
    desk.say(event("Newchannel", CALLER))
    desk.codec.disconnected(desk.now)
    desk.advance(60)
    desk.connect(uptime=12)
    [one] = desk.signals[-1:]
    assert isinstance(one, Signal)
    assert (one.kind, one.detail["reason"]) == (Kind.CALL_ENDED, "exchange_restarted")


def test_a_restart_of_the_gateway_takes_up_live_calls_and_the_list_decides() -> None:
    before = Desk()
    before.connect()
    other = channel("PJSIP/trunk-00000009", "+8617400000009", "1.9")
    before.say(event("Newchannel", CALLER), event("Newchannel", AGENT), event("DialEnd", CALLER, dest(AGENT), DialStatus="ANSWER"))
    before.say(event("Newchannel", other))
    records = {str(one.detail["call"]): one.detail for one in before.signals if isinstance(one, Signal)}
    after = Desk()
    assert after.codec.restore([*records.values(), {"call": "x"}, {"call": "y", "exchange_call": "z", "state": "odd"}], after.now) == 2
    after.advance(1)
    found = after.connect((listed(CALLER, ChannelState=6),))
    assert [one.device for one in found if isinstance(one, Signal)] == ["+8617400000009"]
    [ended] = after.say(event("Hangup", CALLER, Cause=16))
    assert isinstance(ended, Signal)
    assert (ended.kind, ended.detail["agent"], ended.detail["call"]) == (Kind.CALL_ENDED, "8001", next(iter(records)))


def test_lists_that_may_not_be_had_are_lived_without() -> None:
    desk = Desk()
    desk.connect()
    desk.say(event("Newchannel", CALLER), event("Newchannel", AGENT), event("DialEnd", CALLER, dest(AGENT), DialStatus="ANSWER"))
    desk.say(event("Newchannel", channel("PJSIP/trunk-00000009", "+8617400000009", "1.9")))
    desk.codec.disconnected(desk.now)
    desk.advance(5)
    desk.log_in()
    desk.say(message("Event: FullyBooted", Uptime=90_000))
    for asked in desk.sent():
        desk.say(message("Response: Error", ActionID=asked["ActionID"], Message="Permission denied"))
    lost = [one for one in desk.signals if isinstance(one, Signal) and one.detail.get("inferred")]
    assert [one.device for one in lost] == ["+8617400000009"], "who waited needs a call back; who talked may still talk"
    assert desk.codec.counts["snapshot_denied"] == 2
    assert desk.codec.is_ready


def test_a_missing_read_class_is_noticed_and_its_coming_too() -> None:
    desk = Desk()
    desk.connect()
    desk.advance(61)
    late = listed(CALLER, Duration="00:00:40")
    found = desk.snapshot((late,))
    assert "add call to read" in desk.codec.doubt
    assert desk.codec.counts["no_call_events"] == 1
    assert [one.kind for one in found if isinstance(one, Signal)] == [Kind.CALL_OFFERED], "the list is at least something"
    desk.say(event("Newchannel", channel("PJSIP/trunk-00000009", "+8617400000009", "1.9")))
    assert desk.codec.doubt == ""


def test_a_missing_agent_class_is_noticed() -> None:
    desk = Desk()
    params = message("Event: QueueParams", ActionID="x", Queue="help")
    desk.connect((), (params,))
    desk.say(event("Newchannel", CALLER))
    desk.advance(61)
    entry = message("Event: QueueEntry", ActionID="x", Queue="help", Position=1, Channel="PJSIP/trunk-00000001", Uniqueid="1.1", Wait=20)
    desk.snapshot((listed(CALLER, Duration="00:00:40"),), (params, entry))
    assert "add agent to read" in desk.codec.doubt


def test_a_recorded_snapshot_is_read_by_a_listener() -> None:
    done = message("Event: CoreShowChannelsComplete", ActionID="theirs", EventList="Complete")
    [one] = feed(listening(), [listed(CALLER), done])
    assert isinstance(one, Signal)
    assert one.detail["inferred"] is True


def test_a_listener_never_says_anything() -> None:
    codec = listening(username="gateway", secret="x")
    feed(codec, [BANNER, message("Event: FullyBooted", Uptime=5), event("Newchannel", CALLER)])
    assert codec.data_to_send() == b""


def test_the_dialplan_names_a_recording() -> None:
    """`UserEvent(Recording,File: ${MIXMONITOR_FILENAME})` on the caller's channel, or on one linked to it; other user events say nothing of calls."""
    desk = Desk()
    desk.connect()
    desk.say(event("Newchannel", CALLER))
    file = "/var/spool/asterisk/monitor/2026/11/22/in-12349.wav"
    assert desk.say(event("UserEvent", CALLER, UserEvent="Recording", File=file)) == []
    assert desk.say(event("UserEvent", CALLER, UserEvent="Weather", File="/etc/passwd")) == []
    [ended] = desk.say(event("Hangup", CALLER, Cause="16"))
    assert isinstance(ended, Signal)
    assert ended.detail["recording"] == file
