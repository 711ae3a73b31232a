"""Real calls: SIPp calls the hotline through a Kamailio that mirrors them to the gateway's hep line. What was told is what SIPp logged."""

from pathlib import Path

import pytest
from waiting import wait_until

from tests.telephony.peers import Kamailio, Sipp, as_seen, caller, calls_of, free_sip_port, listening
from tests.telephony.place import TOLERANCE_S, telephony


async def test_a_normal_call(tmp_path: Path) -> None:
    async with telephony(tmp_path, "phone", once=True) as place:
        await place.run("caller", d_ms=500, copies=13)
        offered, _, answered, ended = place.ear.events
        assert [event.device for event in place.ear.events] == [caller()] * 4
        assert (offered.detail["called"], offered.detail["hotline"], offered.detail["identity_source"]) == ("12349", "12349", "from")
        assert answered.detail["agent"] == "8001"  # whom the proxy asked, not the hotline number that the caller dialled
        assert ended.detail["by"] == "caller"
        assert {event.time_source for event in place.ear.events} == {"device"}
        # every message is seen as received and as sent on; 100 is the proxy's own
        assert place.ear.copies == 13 + 1


async def test_the_agent_hangs_up(tmp_path: Path) -> None:
    async with telephony(tmp_path, "phone_hangs_up") as place:
        await place.run("caller_waits")
        assert place.ear.only("ended").detail["by"] == "agent"


async def test_the_caller_gives_up(tmp_path: Path) -> None:
    async with telephony(tmp_path, "phone_cancelled") as place:
        await place.run("caller_cancels", d_ms=500)
        assert place.ear.kinds().popitem()[1] == ["offered", "ringing", "abandoned"]
        assert place.ear.only("abandoned").detail["by"] == "caller"


async def test_busy(tmp_path: Path) -> None:
    async with telephony(tmp_path, "phone_busy") as place:
        await place.run("caller_refused")
        missed = place.ear.only("missed").detail
        assert (missed["reason"], missed["code"]) == ("busy", 486)


async def test_nobody_answers(tmp_path: Path) -> None:
    """The proxy's own patience ends: 408 to the caller, CANCEL to the telephone, whose 487 means nothing to the caller."""
    async with telephony(tmp_path, "phone_cancelled", proxy_rings_ms=1000) as place:
        await place.run("caller_refused")
        missed = place.ear.only("missed").detail
        assert (missed["reason"], missed["code"]) == ("no_answer", 408)


async def test_a_lost_bye_ends_the_call_by_its_guard(tmp_path: Path) -> None:
    async with telephony(tmp_path, "phone", ring_ms=(0,)) as place:
        sipp = await place.run("caller_loses_bye")
        codec = place.ear.line.codec  # type: ignore[attr-defined]
        assert codec.live_calls == 1
        answered = place.ear.only("answered")
        guard = codec.deadline()
        assert guard is not None
        assert codec.handle_deadline(guard + 3 * 3600, answered.received_at) == []  # the guard of an answered call is four hours
        [ended] = codec.handle_deadline(guard + 5 * 3600, answered.received_at)
        assert (ended.kind.value, ended.detail["inferred"], ended.detail["reason"]) == ("call_ended", True, "no_bye_seen")
        assert not [line for line in sipp.logged() if line.method == "BYE"]


async def test_a_lost_bye_on_a_line_with_a_short_guard(tmp_path: Path) -> None:
    async with telephony(tmp_path, "phone", ring_ms=(0,), talk_guard_s=0.5) as place:
        sipp = Sipp(tmp_path, "caller_loses_bye")
        await sipp.calls(place.proxy.address)
        [call_id] = calls_of(sipp.logged())
        await wait_until(lambda: "ended" in place.ear.kinds().get(call_id, ()), "the guard")
        ended = place.ear.only("ended")
        assert place.ear.kinds() == {call_id: ["offered", "ringing", "answered", "ended"]}
        assert (ended.occurred_at - place.ear.only("answered").occurred_at).total_seconds() >= 0.5


@pytest.mark.parametrize("winner", [0, 1])
async def test_two_telephones_ring_and_one_is_taken(tmp_path: Path, winner: int) -> None:
    phones = ["phone_cancelled", "phone_cancelled"]
    phones[winner] = "phone"
    async with telephony(tmp_path, *phones, once=True) as place:
        await place.run("caller", d_ms=500)
        assert place.ear.only("answered").detail["agent"] == f"800{winner + 1}"
        loser = place.phones[1 - winner].logged()
        assert [line.code for line in loser if line.method == "INVITE"] == [0, 180, 487]


async def test_one_of_two_telephones_is_busy(tmp_path: Path) -> None:
    """Its 486 is the proxy's matter: the caller goes on ringing at the other one."""
    async with telephony(tmp_path, "phone", "phone_busy") as place:
        await place.run("caller", d_ms=500)
        assert place.ear.only("answered").detail["agent"] == "8001"


async def test_both_telephones_are_busy(tmp_path: Path) -> None:
    async with telephony(tmp_path, "phone_busy", "phone_busy") as place:
        await place.run("caller_refused")
        assert place.ear.only("missed").detail["reason"] == "busy"


async def test_one_telephone_after_the_other(tmp_path: Path) -> None:
    """The proxy takes the call away from the first (CANCEL, 487) and rings the second: nobody has given up."""
    flags = ["ONE_AFTER_THE_OTHER"]
    async with telephony(tmp_path, "phone_cancelled", "phone", proxy_rings_ms=1000, flags=flags, once=True) as place:
        await place.run("caller", d_ms=300)
        assert place.ear.kinds().popitem()[1] == ["offered", "ringing", "answered", "ended"]
        assert place.ear.only("answered").detail["agent"] == "8002"
        assert [line.code for line in place.phones[0].logged() if line.method == "INVITE"] == [0, 180, 487]


async def test_a_password_is_asked_for_first(tmp_path: Path) -> None:
    async with telephony(tmp_path, "phone", flags=["WITH_AUTH"]) as place:
        sipp = await place.run("caller_with_password", d_ms=500)
        assert [line.code for line in sipp.logged() if line.code >= 400] == [407]
        assert place.ear.kinds().popitem()[1] == ["offered", "ringing", "answered", "ended"]
        offered = place.ear.only("offered").occurred_at.timestamp()
        called, refused = sipp.logged()[:2]
        assert called.at - TOLERANCE_S < offered < refused.at  # the first INVITE is when the caller called


async def test_a_caller_without_the_password_is_missed_in_the_end(tmp_path: Path) -> None:
    async with telephony(tmp_path, "phone", flags=["WITH_AUTH"]) as place:
        await place.run("caller_without_password")
        codec = place.ear.line.codec  # type: ignore[attr-defined]
        [missed] = codec.handle_deadline(codec.deadline() + 180, place.ear.events[0].received_at)
        assert (missed.kind.value, missed.detail["reason"], missed.detail["code"]) == ("call_missed", "auth", 407)


async def test_a_changed_session_is_no_new_call(tmp_path: Path) -> None:
    async with telephony(tmp_path, "phone_reinvited") as place:
        sipp = await place.run("caller_reinvites", d_ms=300)
        assert len({line.cseq for line in sipp.logged() if line.method == "INVITE" and line.sent}) == 2
        assert place.ear.kinds().popitem()[1] == ["offered", "ringing", "answered", "ended"]


async def test_an_invite_sent_again_is_one_call(tmp_path: Path) -> None:
    async with telephony(tmp_path, "phone_slow", flags=["WITHOUT_100"]) as place:
        sipp = await place.run("caller", d_ms=300)
        assert len([line for line in sipp.logged() if line.method == "INVITE" and line.sent]) == 3
        assert place.ear.kinds().popitem()[1] == ["offered", "ringing", "answered", "ended"]


@pytest.mark.parametrize("callers", [3, 1], ids=["three callers", "one caller three times"])
async def test_three_calls_at_once(tmp_path: Path, callers: int) -> None:
    async with telephony(tmp_path, "phone") as place:
        await place.run("caller", 3, 1000, d_ms=700, callers=callers)
        assert len(place.ear.kinds()) == 3
        assert sorted(str(event.device) for event in place.ear.events) == sorted(4 * [caller(number % callers) for number in range(3)])
        kinds = [event.kind.value for event in place.ear.events]
        assert kinds.index("call_ended") > 2 + kinds.index("call_answered")  # they did overlap


async def test_a_text_message_is_no_call(tmp_path: Path) -> None:
    async with telephony(tmp_path, "phone_writes", once=True) as place:
        await place.run("caller_writes", copies=4)
        assert place.ear.events == []
        assert place.ear.copies == 4 + 1  # it was mirrored, all the same


async def test_over_tcp(tmp_path: Path) -> None:
    async with telephony(tmp_path, "phone", tcp=True) as place:
        await place.run("caller", d_ms=500)
        assert place.ear.only("answered").detail["agent"] == "8001"


async def test_over_ipv6(tmp_path: Path) -> None:
    async with telephony(tmp_path, "phone", host="::1") as place:
        await place.run("caller", d_ms=500)
        assert place.ear.only("answered").detail["agent"] == "8001"


@pytest.mark.parametrize("version", [1, 2])
async def test_the_older_versions(tmp_path: Path, version: int) -> None:
    """hep_version left out is 1: without a time of its own, so the time is when we received it."""
    async with telephony(tmp_path, "phone", hep_version=version) as place:
        await place.run("caller", d_ms=500)
        assert {event.time_source for event in place.ear.events} == {"received" if version == 1 else "device"}


async def test_a_key(tmp_path: Path) -> None:
    async with telephony(tmp_path, "phone", hep_key="s3cret", auth_key="s3cret") as place:
        await place.run("caller", d_ms=500)


async def test_a_wrong_key(tmp_path: Path) -> None:
    async with telephony(tmp_path, "phone", hep_key="guessed", auth_key="s3cret", once=True) as place:
        await Sipp(tmp_path, "caller", once=True).calls(place.proxy.address)
        await wait_until(lambda: len(place.ear.rejected) == 13, "every copy was refused")
        assert place.ear.events == []
        assert {item.reason for item in place.ear.rejected} == {"wrong_key"}


async def test_hep_over_tcp(tmp_path: Path) -> None:
    async with telephony(tmp_path, "phone", hep_over="tcp", once=True) as place:
        await place.run("caller", 3, d_ms=500, copies=3 * 13)
        assert place.ear.copies == 3 * 13


async def test_hep_over_tcp_when_the_gateway_was_away(tmp_path: Path) -> None:
    """Kamailio opens another connection for what it has to tell next; nothing must be restarted."""
    port = free_sip_port()
    where, gateway = f"tcp:{port}:interface=127.0.0.1", f"sip:127.0.0.1:{port};transport=tcp"
    async with Sipp(tmp_path, "phone", d_ms=300) as phone, Kamailio(tmp_path, gateway, phone.uri("8001")) as proxy:
        for life in range(3):
            sipp = Sipp(tmp_path, "caller", d_ms=300)
            if life == 1:
                await sipp.calls(proxy.address)  # nobody hears it
                continue
            async with listening(where) as ear:
                await sipp.calls(proxy.address)
                await wait_until(lambda ear=ear, sipp=sipp: ear.kinds() == as_seen(sipp), "the call was heard")  # type: ignore[misc]
