"""The simulated event socket, held against what FreeSWITCH's sources say (freeswitch-esl); no live server was at hand for either."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from waiting import wait_until

from simulators.exchange.desk import Answerer
from simulators.exchange.esl_server import EslServer
from simulators.exchange.model import Exchange
from tests.simulators.exchange_wires import PLANS, QUICK, EslReader, exchange, over, place

EVENTS = (
    "CHANNEL_CREATE CHANNEL_PROGRESS CHANNEL_ANSWER CHANNEL_BRIDGE CHANNEL_UNBRIDGE CHANNEL_HANGUP_COMPLETE CALL_UPDATE BACKGROUND_JOB DTMF"
    " CUSTOM callcenter::info"
)


@pytest.fixture
async def pbx() -> AsyncIterator[Exchange]:
    found = exchange(agents=("8001", "8002", "8003"))
    yield found
    await found.stop()


@pytest.fixture
async def server(pbx: Exchange) -> AsyncIterator[EslServer]:
    found = EslServer(pbx, "secret", heartbeat_s=0.05)
    await found.start()
    yield found
    await found.stop()


@pytest.fixture
async def reader(server: EslServer) -> AsyncIterator[EslReader]:
    found = await EslReader().connect(server.port)
    yield found
    await found.close()


# ---- session (sections 1 and 2)


async def test_greeting_password_and_commands(reader: EslReader) -> None:
    assert reader.frames[0] == ({"Content-Type": "auth/request"}, b"")
    assert (await reader.ask("api status"))[0]["Reply-Text"].startswith("-ERR")
    assert (await reader.ask("auth secret"))[0]["Reply-Text"] == "+OK accepted"
    assert (await reader.ask("event json CHANNEL_CREATE CUSTOM callcenter::info"))[0]["Reply-Text"] == "+OK event listener enabled json"
    assert (await reader.ask("event plain NOTHING_LIKE_IT"))[0]["Reply-Text"] == "-ERR no keywords supplied"
    headers, body = await reader.ask("api status")
    assert (headers["Content-Type"], body[:3]) == ("api/response", b"UP ")
    assert (await reader.ask("exit"))[0]["Reply-Text"] == "+OK bye"
    await wait_until(lambda: reader.is_closed, "closed")


async def test_wrong_password_closes(reader: EslReader) -> None:
    assert (await reader.ask("auth ClueCon"))[0]["Reply-Text"] == "-ERR invalid"
    await wait_until(lambda: reader.is_closed, "closed")


async def test_rude_rejection(pbx: Exchange) -> None:
    server = EslServer(pbx, "secret", rude=True)
    await server.start()
    reader = await EslReader().connect(server.port)
    assert reader.frames[0][0]["Content-Type"] == "text/rude-rejection"
    assert reader.frames[0][1].startswith(b"Access Denied, go away.")
    await wait_until(lambda: reader.is_closed, "closed")
    await reader.close()
    await server.stop()


async def test_what_follows_custom_is_a_subclass(reader: EslReader, pbx: Exchange) -> None:
    await reader.login("CUSTOM callcenter::info CHANNEL_CREATE")
    await over(place(pbx, QUICK))
    await reader.until(lambda event: event.get("CC-Action") == "member-queue-end", "served")
    assert {event["Event-Name"] for event in reader.events()} == {"CUSTOM"}


async def test_heartbeat_and_goodbye(server: EslServer, reader: EslReader) -> None:
    await reader.login("HEARTBEAT")
    beat = await reader.until(lambda event: event["Event-Name"] == "HEARTBEAT", "a heartbeat")
    assert beat["Core-UUID"] == server.exchange.core_uuid
    server.say_goodbye()
    await wait_until(lambda: reader.is_closed, "closed")
    assert reader.frames[-1][0]["Content-Type"] == "text/disconnect-notice"
    assert reader.frames[-1][0]["Content-Disposition"] == "disconnect"


@pytest.mark.parametrize("form", ["json", "plain"])
async def test_both_forms_say_the_same(reader: EslReader, pbx: Exchange, form: str) -> None:
    await reader.login(EVENTS, form)
    place(pbx, replace(QUICK, name="王 秀英:%"))
    found = await reader.until(lambda event: event["Event-Name"] == "CHANNEL_CREATE", "a call")
    assert found["Caller-Caller-ID-Name"] == "王 秀英:%"
    assert all(isinstance(value, str) for value in found.values())
    assert len(found["Event-Date-Timestamp"]) == 16  # microseconds
    assert found["Caller-Channel-Answered-Time"] == "0"
    if form == "plain":
        raw = next(body for headers, body in reader.frames if headers["Content-Type"] == "text/event-plain")
        assert b"%E7%8E%8B%20%E7%A7%80%E8%8B%B1" in raw
    first, second = next(frame for frame in reader.frames if frame[0]["Content-Type"].startswith("text/event"))
    assert list(first) == ["Content-Length", "Content-Type"]
    assert int(first["Content-Length"]) == len(second)


async def test_name_in_gbk_is_no_utf8(reader: EslReader, pbx: Exchange) -> None:
    await reader.login(EVENTS)
    await over(place(pbx, replace(QUICK, name="王秀英".encode("gbk").decode("utf-8", "surrogateescape"))))
    body = reader.frames[3][1]
    with pytest.raises(UnicodeDecodeError):
        body.decode("utf-8")
    assert json.loads(body.decode("gb18030"))["Caller-Caller-ID-Name"] == "王秀英"


# ---- sequences (sections 3 and 4)


async def told(reader: EslReader, pbx: Exchange, scenario: str) -> list[str]:
    """The events of one call: name or CC-Action, the leg's number or agent, and the cause."""
    await reader.login(EVENTS)
    call = await over(place(pbx, PLANS[scenario]))
    await wait_until(lambda: len(reader.events("CHANNEL_HANGUP_COMPLETE")) == len(call.legs), "all hung up")
    found = []
    for event in reader.events():
        if event["Event-Name"] == "CUSTOM":
            name, who = event["CC-Action"], event.get("CC-Agent", "").partition("@")[0]
            fact = event.get("CC-Cancel-Reason") or event.get("CC-Cause", "")
        else:
            name = event["Event-Name"].removeprefix("CHANNEL_")
            who = "caller" if event["Call-Direction"] == "inbound" else event["Caller-Destination-Number"]
            fact = f"{event['Hangup-Cause']} {event['variable_sip_hangup_disposition']}" if "Hangup-Cause" in event else ""
        found.append(f"{name}({', '.join(part for part in (who, fact) if part)})")
    return found


async def test_queue_answered(reader: EslReader, pbx: Exchange) -> None:
    assert await told(reader, pbx, "answered") == [
        "CREATE(caller)",
        "ANSWER(caller)",
        "member-queue-start()",
        "agent-offering(8001)",
        "CREATE(8001)",
        "agent-offering(8002)",
        "CREATE(8002)",
        "PROGRESS(8001)",
        "PROGRESS(8002)",
        "ANSWER(8001)",
        "bridge-agent-start(8001)",
        "BRIDGE(caller)",
        "bridge-agent-fail(8002)",
        "HANGUP_COMPLETE(8002, LOSE_RACE send_cancel)",
        "bridge-agent-end(8001)",
        "member-queue-end(8001, Terminated)",
        "UNBRIDGE(caller)",
        "HANGUP_COMPLETE(8001, NORMAL_CLEARING send_bye)",
        "HANGUP_COMPLETE(caller, NORMAL_CLEARING recv_bye)",
    ]
    caller = reader.events("CHANNEL_CREATE")[0]["Unique-ID"]
    assert {event["CC-Member-Session-UUID"] for event in reader.events("CUSTOM")} == {caller}
    assert {event["Channel-Call-UUID"] for event in reader.events("CHANNEL_CREATE")} == {caller}
    bridge = reader.events("CHANNEL_BRIDGE")[0]
    assert bridge["Bridge-A-Unique-ID"] == caller
    assert bridge["Bridge-B-Unique-ID"] == reader.events("CHANNEL_CREATE")[1]["Unique-ID"]
    sequence = [int(event["Event-Sequence"]) for event in reader.events()]
    assert sequence == sorted(sequence)


@pytest.mark.parametrize(
    ("scenario", "end"),
    [
        ("abandoned", ["member-queue-end(NONE)", "HANGUP_COMPLETE(caller, NORMAL_CLEARING recv_bye)"]),
        ("queue_timeout", ["member-queue-end(TIMEOUT)", "HANGUP_COMPLETE(caller, NORMAL_CLEARING send_bye)"]),
        ("cancelled", ["HANGUP_COMPLETE(8001, ORIGINATOR_CANCEL send_cancel)", "HANGUP_COMPLETE(caller, ORIGINATOR_CANCEL recv_cancel)"]),
        ("busy", ["HANGUP_COMPLETE(8001, USER_BUSY recv_refuse)", "HANGUP_COMPLETE(caller, USER_BUSY send_refuse)"]),
        ("declined", ["HANGUP_COMPLETE(8001, CALL_REJECTED recv_refuse)", "HANGUP_COMPLETE(caller, CALL_REJECTED send_refuse)"]),
        ("no_answer", ["HANGUP_COMPLETE(8001, NO_ANSWER send_cancel)", "HANGUP_COMPLETE(caller, NO_ANSWER send_refuse)"]),
    ],
)
async def test_ends_without_answer(reader: EslReader, pbx: Exchange, scenario: str, end: list[str]) -> None:
    found = await told(reader, pbx, scenario)
    assert [event for event in found if event in end] == end
    assert not [event for event in found if event.startswith(("BRIDGE", "bridge-agent-start"))]


async def test_transfers_and_late_number(reader: EslReader, pbx: Exchange) -> None:
    found = await told(reader, pbx, "blind")
    assert [event for event in found if "BRIDGE" in event] == ["BRIDGE(caller)", "UNBRIDGE(caller)"] * 2
    assert [event["Caller-Callee-ID-Number"] for event in reader.events("CHANNEL_BRIDGE")] == ["8001", "8002"]
    call = await over(place(pbx, PLANS["late_number"]))
    update = await reader.until(lambda event: event["Event-Name"] == "CALL_UPDATE", "an update")
    assert (update["Unique-ID"], update["Caller-Caller-ID-Number"]) == (call.incoming.uuid, "017400000001")


async def test_restricted_number_is_marked(reader: EslReader, pbx: Exchange) -> None:
    await reader.login(EVENTS)
    place(pbx, replace(QUICK, restricted=True))
    found = await reader.until(lambda event: event["Event-Name"] == "CHANNEL_CREATE", "a call")
    assert found["Caller-Privacy-Hide-Number"] == "true"
    assert found["variable_sip_P-Asserted-Identity"].startswith("sip:017400000001@")


# ---- commands


async def test_snapshots(reader: EslReader, pbx: Exchange) -> None:
    await reader.login(EVENTS)
    assert json.loads((await reader.ask("api show channels as json"))[1]) == {"row_count": 0}
    call = place(pbx, replace(QUICK, talk_s=30))
    await reader.until(lambda event: "LOSE_RACE" in event.get("Hangup-Cause", ""), "only two legs are left")
    channels = json.loads((await reader.ask("api show channels as json"))[1])
    assert channels["row_count"] == 2
    assert {row["direction"] for row in channels["rows"]} == {"inbound", "outbound"}
    calls = json.loads((await reader.ask("api show calls as json"))[1])
    assert [(row["uuid"], row["b_dest"]) for row in calls["rows"]] == [(call.incoming.uuid, "8001")]


@pytest.mark.parametrize("form", ["json", "plain"])
async def test_ringing_a_responder(reader: EslReader, pbx: Exchange, form: str) -> None:
    pbx.answerers["17400000005"] = Answerer(after_s=0.05, key="1", key_after_s=0.05)
    await reader.login(EVENTS, form)
    command = "{origination_uuid=d-1,gateway_id=d-1,originate_timeout=2}sofia/gateway/trunk/17400000005 &endless_playback(tone_stream://x)"
    reply, _ = await reader.ask(f"bgapi originate {command}\nJob-UUID: d-1")
    assert reply["Reply-Text"] == "+OK Job-UUID: d-1"
    job = await reader.until(lambda event: event["Event-Name"] == "BACKGROUND_JOB", "the job's end")
    assert (job["Job-UUID"], job["_body"]) == ("d-1", "+OK d-1\n")
    key = await reader.until(lambda event: event["Event-Name"] == "DTMF", "a key")
    assert (key["Unique-ID"], key["DTMF-Digit"], key["variable_gateway_id"]) == ("d-1", "1", "d-1")
    await reader.ask("bgapi uuid_kill d-1\nJob-UUID: k")
    await reader.until(lambda event: event["Event-Name"] == "CHANNEL_HANGUP_COMPLETE", "hung up")
    await reader.ask("bgapi uuid_kill d-1\nJob-UUID: again")
    assert (await reader.until(lambda event: event.get("Job-UUID") == "again", "the answer"))["_body"] == "-ERR No such channel!\n"


async def test_ringing_in_vain(reader: EslReader, pbx: Exchange) -> None:
    pbx.answerers["17400000005"] = Answerer(does="busy", after_s=0.05)
    await reader.login(EVENTS)
    await reader.ask("bgapi originate {origination_uuid=d-2}sofia/gateway/trunk/17400000005 &park()\nJob-UUID: j2")
    assert (await reader.until(lambda event: event["Event-Name"] == "BACKGROUND_JOB", "the job"))["_body"] == "-ERR USER_BUSY\n"


async def test_dial_for_an_agent_and_transfer(reader: EslReader, pbx: Exchange) -> None:
    pbx.answerers["17400000005"] = Answerer(after_s=0.05, talk_s=0.1)
    await reader.login(EVENTS)
    await reader.ask("bgapi originate {origination_uuid=d-3,gateway_id=d-3}user/8001 &bridge([gateway_id=d-3]sofia/gateway/trunk/17400000005)")
    bridge = await reader.until(lambda event: event["Event-Name"] == "CHANNEL_BRIDGE", "both talk")
    assert (bridge["Unique-ID"], bridge["Other-Leg-Destination-Number"]) == ("d-3", "17400000005")
    call = place(pbx, replace(QUICK, talk_s=30))
    await reader.until(lambda event: event.get("CC-Action") == "bridge-agent-start", "an agent took it")
    await reader.ask(f"bgapi uuid_transfer {call.incoming.uuid} 8003 XML default")
    await wait_until(lambda: call.agents[-1] == "8003", "the other agent took it")
    await reader.ask(f"bgapi uuid_kill {call.incoming.uuid}")
    await over(call)


async def test_reset_and_flood(server: EslServer, reader: EslReader) -> None:
    await reader.login(EVENTS)
    server.flood(2_000)
    await wait_until(lambda: len(reader.events("CUSTOM")) == 2_000, "the flood")
    server.reset()
    await wait_until(lambda: reader.is_closed, "cut")
