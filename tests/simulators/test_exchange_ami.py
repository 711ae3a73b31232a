"""The simulated Asterisk manager, held against the sequences that were watched on Asterisk 22.10 (asterisk-ami, sections 2 to 6)."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from waiting import wait_until

from simulators.exchange.ami_server import AmiServer, User
from simulators.exchange.ami_words import Said
from simulators.exchange.desk import Answerer
from simulators.exchange.model import Exchange
from tests.simulators.exchange_wires import PLANS, QUICK, AmiReader, exchange, over, place

LISTEN = "call,agent,system,user"


@pytest.fixture
async def pbx() -> AsyncIterator[Exchange]:
    found = exchange(agents=("8001", "8002", "8003"))
    yield found
    await found.stop()


@pytest.fixture
async def server(pbx: Exchange) -> AsyncIterator[AmiServer]:
    found = AmiServer(pbx, {"gateway": User("secret"), "narrow": User("secret", frozenset({"system"}))})
    await found.start()
    yield found
    await found.stop()


@pytest.fixture
async def reader(server: AmiServer) -> AsyncIterator[AmiReader]:
    found = await AmiReader().connect(server.port)
    yield found
    await found.close()


# ---- login (section 2)


async def test_banner_and_plain_login(reader: AmiReader) -> None:
    assert reader.banner == b"Asterisk Call Manager/11.0.0\r\n"
    assert await reader.login() == {"Response": "Success", "ActionID": "1", "Message": "Authentication accepted"}
    booted = await reader.until("FullyBooted")
    assert booted["Privilege"] == "system,all"
    assert int(booted["Uptime"]) < 5


async def test_login_with_challenge_and_line_feeds_only(reader: AmiReader) -> None:
    told = await reader.ask("Action: Challenge", "AuthType: MD5", end="\n")
    assert told["Challenge"].isdigit()
    key = hashlib.md5((told["Challenge"] + "secret").encode()).hexdigest()
    told = await reader.ask("Action: Login", "AuthType: MD5", "Username: gateway", f"Key: {key}", end="\n")
    assert told["Message"] == "Authentication accepted"


@pytest.mark.parametrize("wrong", [("Username: gateway", "Secret: wrong"), ("Username: nobody", "Secret: secret")])
async def test_wrong_secret_closes(reader: AmiReader, wrong: tuple[str, str]) -> None:
    assert await reader.ask("Action: Login", *wrong) == {"Response": "Error", "Message": "Authentication failed"}
    await wait_until(lambda: reader.is_closed, "closed")


async def test_nothing_before_login(reader: AmiReader) -> None:
    assert await reader.ask("Action: Ping", "ActionID: 7") == {"Response": "Error", "ActionID": "7", "Message": "Permission denied"}


async def test_missing_class_is_silent_and_mask_narrows(server: AmiServer, reader: AmiReader, pbx: Exchange) -> None:
    narrow = await AmiReader().connect(server.port)
    await narrow.ask("Action: Login", "Username: narrow", "Secret: secret")
    await reader.login("off")
    assert (await reader.ask("Action: Events", "EventMask: agent,system"))["Events"] == "On"
    await over(place(pbx, QUICK))
    await reader.until("AgentComplete")
    assert {event["Privilege"] for event in reader.events()} == {"agent,all"}
    assert [event["Event"] for event in narrow.events()] == ["FullyBooted"]
    await narrow.close()


async def test_noise_for_who_wants_everything(reader: AmiReader, pbx: Exchange) -> None:
    await reader.login()
    await over(place(pbx, QUICK))
    await reader.until("Hangup", 3)
    share = len(reader.events("VarSet")) / len(reader.events())
    assert share > 0.35  # 47 of 126 were observed
    assert all(float(event["Timestamp"]) > 1e9 for event in reader.events() if event["Event"] != "FullyBooted")


# ---- sequences (section 5)


async def told(reader: AmiReader, pbx: Exchange, scenario: str) -> list[str]:
    """The events of one call: name, whose channel, and the fact that matters. DialState is left out: it comes on either side of Newstate."""
    await reader.login(LISTEN)
    call = await over(place(pbx, PLANS[scenario]))
    await wait_until(lambda: len(reader.events("Hangup")) == len(call.legs), "all hung up")
    found = []
    for event in reader.events():
        if event["Event"] in ("DialState", "FullyBooted"):
            continue
        if event["Event"] in ("BlindTransfer", "AttendedTransfer"):
            found.append(event["Event"])
            continue
        channel = event.get("DestChannel") or event["Channel"]
        who = channel.split("/")[1].split("-")[0].replace("trunk", "caller")
        fact = next((event[key] for key in ("DialStatus", "Cause", "Reason") if key in event), "")
        if event["Event"] in ("Newchannel", "Newstate"):
            fact = event["ChannelStateDesc"]
        found.append(f"{event['Event']}({', '.join(part for part in (who, fact) if part)})")
    return found


def only(found: list[str], agent: str) -> list[str]:
    return [event for event in found if f"({agent}" in event]


async def test_queue_answered(reader: AmiReader, pbx: Exchange) -> None:
    found = await told(reader, pbx, "answered")
    assert found[:3] == ["Newchannel(caller, Ring)", "Newstate(caller, Up)", "QueueCallerJoin(caller)"]
    for agent in ("8001", "8002"):
        assert only(found, agent)[:4] == [f"Newchannel({agent}, Down)", f"AgentCalled({agent})", f"DialBegin({agent})", f"Newstate({agent}, Ringing)"]
    assert found[found.index("Newstate(8001, Up)") :] == [
        "Newstate(8001, Up)",
        "DialEnd(8001, ANSWER)",
        "DialEnd(8002, CANCEL)",
        "DialEnd(8002, CANCEL)",
        "QueueCallerLeave(caller)",
        "AgentConnect(8001)",
        "BridgeEnter(8001)",
        "BridgeEnter(caller)",
        "Hangup(8002, 26)",
        "HangupRequest(caller, 16)",
        "AgentComplete(8001, caller)",
        "BridgeLeave(8001)",
        "BridgeLeave(caller)",
        "Hangup(8001, 16)",
        "Hangup(caller, 16)",
    ]
    assert reader.events("Hangup")[0]["Cause-txt"] == "Answered elsewhere"
    assert {event["Linkedid"] for event in reader.events("Hangup")} == {reader.events("Newchannel")[0]["Uniqueid"]}


async def test_agent_hangs_up(reader: AmiReader, pbx: Exchange) -> None:
    found = await told(reader, pbx, "by_agent")
    assert found.index("HangupRequest(8001, 16)") < found.index("AgentComplete(8001, agent)") < found.index("Hangup(caller, 16)")
    assert "HangupRequest(caller, 16)" not in found


async def test_caller_gives_up_in_queue(reader: AmiReader, pbx: Exchange) -> None:
    found = await told(reader, pbx, "abandoned")
    rest = found[found.index("HangupRequest(caller, 16)") :]
    assert rest == [
        "HangupRequest(caller, 16)",
        *["DialEnd(8001, CANCEL)"] * 2,
        *["DialEnd(8002, CANCEL)"] * 2,
        "QueueCallerAbandon(caller)",
        "Hangup(8001, 0)",
        "Hangup(8002, 0)",
        "QueueCallerLeave(caller)",
        "Hangup(caller, 16)",
    ]


async def test_queue_times_out(reader: AmiReader, pbx: Exchange) -> None:
    found = await told(reader, pbx, "queue_timeout")
    assert "HangupRequest(caller, 16)" not in found
    assert only(found, "8001")[-4:] == ["AgentRingNoAnswer(8001)", "DialEnd(8001, NOANSWER)", "DialEnd(8001, CANCEL)", "Hangup(8001, 0)"]
    assert found[-4:] == ["QueueCallerAbandon(caller)", "QueueCallerLeave(caller)", "SoftHangupRequest(caller, 16)", "Hangup(caller, 16)"]
    assert 100 <= int(reader.events("AgentRingNoAnswer")[0]["RingTime"]) <= 5000  # milliseconds


async def test_ring_time_in_seconds_when_connected(reader: AmiReader, pbx: Exchange) -> None:
    await told(reader, pbx, "answered")
    assert reader.events("AgentConnect")[0]["RingTime"] == "0"
    assert reader.events("AgentConnect")[0]["MemberName"] == "8001"


@pytest.mark.parametrize(
    ("scenario", "end"),
    [
        ("no_answer", ["DialEnd(8001, NOANSWER)", "Hangup(8001, 0)", "SoftHangupRequest(caller, 16)", "Hangup(caller, 16)"]),
        ("cancelled", ["HangupRequest(caller, 127)", "DialEnd(8001, CANCEL)", "Hangup(8001, 0)", "Hangup(caller, 127)"]),
        ("busy", ["HangupRequest(8001, 17)", "DialEnd(8001, BUSY)", "Hangup(8001, 17)", "Hangup(caller, 17)"]),
    ],
)
async def test_plain_dial_without_answer(reader: AmiReader, pbx: Exchange, scenario: str, end: list[str]) -> None:
    found = await told(reader, pbx, scenario)
    assert found == [
        "Newchannel(caller, Ring)",
        "Newchannel(8001, Down)",
        "DialBegin(8001)",
        "Newstate(8001, Ringing)",
        *end,
    ]


async def test_blind_transfer_keeps_the_call(reader: AmiReader, pbx: Exchange) -> None:
    found = await told(reader, pbx, "blind")
    place_of = found.index("BlindTransfer")
    assert found[place_of : place_of + 4] == ["BlindTransfer", "BridgeLeave(8001)", "BridgeLeave(caller)", "Hangup(8001, 16)"]
    assert [event for event in found[place_of + 4 :] if not event.startswith("Newstate")][:5] == [
        "Newchannel(8002, Down)",
        "DialBegin(8002)",
        "DialEnd(8002, ANSWER)",
        "BridgeEnter(8002)",
        "BridgeEnter(caller)",
    ]
    transfer = reader.events("BlindTransfer")[0]
    assert (transfer["Result"], transfer["Extension"]) == ("Success", "8002")
    assert len({event["Linkedid"] for event in reader.events("Hangup")}) == 1


async def test_attended_transfer_merges_linkedids(reader: AmiReader, pbx: Exchange) -> None:
    found = await told(reader, pbx, "attended")
    caller = reader.events("Newchannel")[0]["Uniqueid"]
    colleague = [event for event in reader.events() if event.get("CallerIDNum") == "8003" and event["Event"] in ("Newchannel", "BridgeEnter")]
    assert colleague[0]["Linkedid"] != caller  # a call of its own at first
    assert colleague[-1]["Linkedid"] == caller  # the elder won
    assert found.index("AttendedTransfer") < found.index("AgentComplete(8001, transfer)") < found.index("Hangup(caller, 16)")


async def test_number_learnt_late(reader: AmiReader, pbx: Exchange) -> None:
    await told(reader, pbx, "late_number")
    assert reader.events("Newchannel")[0]["CallerIDNum"] == "<unknown>"
    assert reader.events("NewCallerid")[0]["CallerIDNum"] == "017400000001"


async def test_name_in_gbk(reader: AmiReader, pbx: Exchange) -> None:
    await reader.login(LISTEN)
    await over(place(pbx, replace(QUICK, name="王秀英".encode("gbk").decode("utf-8", "surrogateescape"))))
    name = (await reader.until("QueueCallerJoin"))["CallerIDName"]
    assert name.encode("utf-8", "surrogateescape") == "王秀英".encode("gbk")


# ---- what is asked (section 6, and the dialplan contract)


async def test_snapshot_of_a_call_in_progress(reader: AmiReader, pbx: Exchange) -> None:
    await reader.login(LISTEN)
    place(pbx, replace(QUICK, talk_s=30))
    await reader.until("BridgeEnter", 2)
    await reader.until("Hangup")
    await reader.ask("Action: CoreShowChannels", "ActionID: c1")
    done = await reader.until("CoreShowChannelsComplete")
    assert (done["ListItems"], done["ActionID"]) == ("2", "c1")
    rows = reader.events("CoreShowChannel")
    assert {row["ActionID"] for row in rows} == {"c1"}
    assert len({row["Linkedid"] for row in rows}) == 1
    assert rows[0]["BridgeId"] == rows[1]["BridgeId"] != ""
    assert {row["ChannelStateDesc"] for row in rows} == {"Up"}


async def test_queue_status_lists_who_waits(reader: AmiReader, pbx: Exchange) -> None:
    await reader.login(LISTEN)
    place(pbx, PLANS["abandoned"])
    await reader.until("AgentCalled", 2)
    await reader.ask("Action: QueueStatus", "ActionID: q1")
    await reader.until("QueueStatusComplete")
    assert [event["Event"] for event in reader.events() if event.get("ActionID") == "q1"] == [
        "QueueParams",
        *["QueueMember"] * 3,
        "QueueEntry",
        "QueueStatusComplete",
    ]
    assert reader.events("QueueEntry")[0]["Uniqueid"] == reader.events("Newchannel")[0]["Uniqueid"]
    assert [member["InCall"] for member in reader.events("QueueMember")] == ["1", "1", "0"]


async def test_ping_unknown_action_and_logoff(reader: AmiReader) -> None:
    await reader.login()
    assert (await reader.ask("Action: Ping"))["Ping"] == "Pong"
    assert (await reader.ask("Action: Dance"))["Response"] == "Error"
    assert (await reader.ask("Action: Logoff"))["Response"] == "Goodbye"
    await wait_until(lambda: reader.is_closed, "closed")


RING = (
    "Action: Originate",
    "ActionID: o1",
    "Channel: PJSIP/17400000005@trunk",
    "Context: gateway-ring",
    "Exten: s",
    "Priority: 1",
    "ChannelId: gateway-d-1",
    "Timeout: 20000",
    "Async: true",
    "Variable: __GATEWAY_ID=d-1",
    "Variable: GATEWAY_SAY=%E8%B7%8C%E5%80%92",
)


async def test_ringing_a_responder_who_presses_a_key(reader: AmiReader, pbx: Exchange) -> None:
    pbx.answerers["17400000005"] = Answerer(after_s=0.05, key="2", key_after_s=0.05)
    await reader.login(LISTEN)
    assert (await reader.ask(*RING))["Message"] == "Originate successfully queued"
    answer = await reader.until("OriginateResponse")
    assert (answer["Response"], answer["Reason"], answer["ActionID"], answer["Uniqueid"]) == ("Success", "4", "o1", "gateway-d-1")
    pressed = await reader.until("UserEvent")
    assert (pressed["UserEvent"], pressed["Id"], pressed["Key"], pressed["Linkedid"]) == ("GatewayRing", "d-1", "2", "gateway-d-1")
    await reader.until("Hangup")
    assert pbx.truths[-1]["reason"] == "key_2"


async def test_a_key_that_does_not_count_and_silence(reader: AmiReader, pbx: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulators.exchange.ami_server.KEY_WAIT_S", 0.4)
    pbx.answerers["17400000005"] = Answerer(after_s=0.05, key="7", key_after_s=0.05)
    await reader.login(LISTEN)
    await reader.ask(*RING, "Variable: GATEWAY_KEYS=12")
    pressed = await reader.until("UserEvent")
    assert (pressed["Id"], pressed["Key"]) == ("d-1", "")
    await reader.until("Hangup")
    assert pbx.truths[-1]["reason"] == "no_key"


@pytest.mark.parametrize(("does", "reason"), [("busy", "5"), ("nothing", "3"), ("declines", "1")])
async def test_ringing_a_responder_in_vain(reader: AmiReader, pbx: Exchange, does: str, reason: str) -> None:
    pbx.answerers["17400000005"] = Answerer(does=does, after_s=0.05)
    await reader.login(LISTEN)
    await reader.ask(*(line.replace("20000", "100") if does == "nothing" else line for line in RING))
    answer = await reader.until("OriginateResponse")
    assert (answer["Response"], answer["Reason"]) == ("Failure", reason)


async def test_dial_for_an_agent(reader: AmiReader, pbx: Exchange) -> None:
    pbx.answerers["17400000005"] = Answerer(after_s=0.05, talk_s=0.1)
    await reader.login(LISTEN)
    lines = ("Action: Originate", "Channel: PJSIP/8001", "Application: Dial", "Data: PJSIP/17400000005@trunk,30", "ChannelId: gateway-d-2")
    await reader.ask(*lines, "Async: true")
    assert pbx.desks["8001"].busy
    await reader.until("BridgeEnter", 2)
    await reader.until("Hangup", 2)
    assert {event["Linkedid"] for event in reader.events("BridgeEnter")} == {"gateway-d-2"}
    await wait_until(lambda: not pbx.calls, "over")
    assert not pbx.desks["8001"].busy


async def test_dial_for_an_agent_whose_callee_is_busy(reader: AmiReader, pbx: Exchange) -> None:
    pbx.answerers["17400000005"] = Answerer(does="busy", after_s=0.05)
    await reader.login(LISTEN)
    lines = ("Action: Originate", "Channel: PJSIP/8001", "Application: Dial", "Data: PJSIP/17400000005@trunk,30", "ChannelId: gateway-d-3")
    await reader.ask(*lines, "Async: true")
    await reader.until("Hangup", 2)
    assert [event["DialStatus"] for event in reader.events("DialEnd")] == ["ANSWER", "BUSY"]
    await wait_until(lambda: not pbx.calls, "over")
    assert not pbx.desks["8001"].busy


async def test_hangup_on_request_is_nobodys_doing(reader: AmiReader, pbx: Exchange) -> None:
    await reader.login(LISTEN)
    call = place(pbx, replace(QUICK, talk_s=30))
    await reader.until("BridgeEnter", 2)
    channel = call.incoming.channel
    assert (await reader.ask("Action: Hangup", f"Channel: {channel}", "Cause: 16"))["Response"] == "Success"
    await over(call)
    assert (call.outcome, call.by) == ("answered", "exchange")
    assert (await reader.ask("Action: Hangup", f"Channel: {channel}"))["Message"] == "No such channel"
    assert not reader.events("HangupRequest")


async def test_redirect_to_another_agent(reader: AmiReader, pbx: Exchange) -> None:
    await reader.login(LISTEN)
    call = place(pbx, replace(QUICK, talk_s=30))
    await reader.until("BridgeEnter", 2)
    lines = ("Action: Redirect", f"Channel: {call.incoming.channel}", "Context: agents", "Exten: 8003", "Priority: 1")
    assert (await reader.ask(*lines))["Response"] == "Success"
    await reader.until("BridgeEnter", 4)
    await reader.ask("Action: Hangup", f"Channel: {call.incoming.channel}", "Cause: 16")
    await over(call)
    assert call.agents == ["8001", "8003"]
    assert not any(desk.busy for desk in pbx.desks.values())


# ---- faults


async def test_reset_in_mid_call_and_what_is_left(server: AmiServer, reader: AmiReader, pbx: Exchange) -> None:
    await reader.login(LISTEN)
    call = place(pbx, replace(QUICK, talk_s=30))
    await reader.until("BridgeEnter", 2)
    server.reset()
    await wait_until(lambda: reader.is_closed, "cut")
    again = await AmiReader().connect(server.port)
    await again.login(LISTEN)
    await again.ask("Action: CoreShowChannels")
    await again.until("CoreShowChannelsComplete")
    assert call.incoming.uniqueid in {row["Uniqueid"] for row in again.events("CoreShowChannel")}
    assert not again.events("Newchannel")  # nothing is replayed
    await again.close()


async def test_restart_forgets_every_call(reader: AmiReader, pbx: Exchange) -> None:
    await reader.login(LISTEN)
    place(pbx, replace(QUICK, talk_s=30))
    await reader.until("BridgeEnter", 2)
    core, hung_up = pbx.core_uuid, len(reader.events("Hangup"))
    await pbx.restart()
    assert pbx.core_uuid != core
    assert not pbx.calls
    assert pbx.truths[-1]["reason"] == "restart"
    await reader.ask("Action: CoreShowChannels")
    assert (await reader.until("CoreShowChannelsComplete"))["ListItems"] == "0"
    assert len(reader.events("Hangup")) == hung_up  # it dies without a word


async def test_shutdown_is_said(server: AmiServer, reader: AmiReader) -> None:
    await reader.login(LISTEN)
    server.shut_down(restart=True)
    assert (await reader.until("Shutdown"))["Restart"] == "True"
    await wait_until(lambda: reader.is_closed, "closed")


async def test_flood_and_slow_reader(server: AmiServer, reader: AmiReader) -> None:
    await reader.login(LISTEN)
    await server.flood(3_000)
    await reader.until("Newexten", 3_000)
    assert server.cut_off == 0


async def test_octet_by_octet_keeps_the_order(server: AmiServer, reader: AmiReader, pbx: Exchange) -> None:
    await reader.login("agent")
    server.slow_s = 1e-6
    await over(place(pbx, QUICK))
    await reader.until("AgentComplete")
    assert [event["Event"] for event in reader.events()][-3:] == ["QueueCallerLeave", "AgentConnect", "AgentComplete"]


async def test_who_reads_nothing_is_cut_off(server: AmiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulators.exchange.ami_server.MAX_BEHIND", 10_000)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
    writer.write(b"Action: Login\r\nUsername: gateway\r\nSecret: secret\r\n\r\n")
    await wait_until(lambda: server.sessions and server.sessions[0].user, "logged in")
    server_side = server.sessions[0].writer
    noise = Said("call", "Newexten", [("AppData", "x" * 1000)])
    for _ in range(200_000):
        if server.cut_off:
            break
        for _ in range(50):
            server.broadcast(noise)
        if server_side.transport.get_write_buffer_size() == 0:
            await asyncio.sleep(0)
    assert server.cut_off == 1
    writer.close()
    reader.feed_eof()
