"""The SIP face of the simulated exchange, called by SIPp over UDP and TCP, and by plain sockets where SIPp is too well-behaved."""

import asyncio
import csv
import re
import socket
import struct
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from servers import program
from waiting import WAIT_S, free_port, wait_until

from simulators.exchange.call import Mode
from simulators.exchange.mirror import Mirror
from simulators.exchange.model import Exchange
from simulators.exchange.sip_face import SipFace
from tests.simulators.exchange_wires import QUICK, exchange, over

HEAD = '<?xml version="1.0" encoding="utf-8"?>\n<scenario name="caller">\n'
INVITE = """<send retrans="500"><![CDATA[
INVITE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:017400000001@[local_ip]:[local_port]>;tag=[pid]t[call_number]
To: <sip:[service]@[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: [cseq] INVITE
Contact: <sip:017400000001@[local_ip]:[local_port];transport=[transport]>
Max-Forwards: 70
{more}Content-Type: application/sdp
Content-Length: [len]

v=0
o=- 1 1 IN IP[local_ip_type] [local_ip]
s=-
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio [media_port] RTP/AVP 8
a=rtpmap:8 PCMA/8000

]]></send>
"""
ACK = """<send><![CDATA[
ACK sip:[service]@[remote_ip]:[remote_port] SIP/2.0
Via: [last_Via]
[last_From]
[last_To]
Call-ID: [call_id]
CSeq: [cseq] ACK
Max-Forwards: 70
Content-Length: 0

]]></send>
"""
CANCEL = """<recv response="180"/>
<pause milliseconds="100"/>
<send retrans="500"><![CDATA[
CANCEL sip:[service]@[remote_ip]:[remote_port] SIP/2.0
[last_Via]
From: <sip:017400000001@[local_ip]:[local_port]>;tag=[pid]t[call_number]
To: <sip:[service]@[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: [cseq] CANCEL
Max-Forwards: 70
Content-Length: 0

]]></send>
<recv response="200" crlf="true"/>
<recv response="487"/>
"""
TRYING = '<recv response="100" optional="true"/>\n'
RINGING = '<recv response="180" optional="true"/>\n'
AGAIN = INVITE.replace("{more}", "[authentication username=trunk password=secret]\n")
BYE = """<pause milliseconds="100"/>
<send retrans="500"><![CDATA[
BYE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
[last_From]
[last_To]
Call-ID: [call_id]
CSeq: 9 BYE
Max-Forwards: 70
Content-Length: 0

]]></send>
<recv response="200"/>
"""

ANSWER = """<send><![CDATA[
SIP/2.0 {code}
[last_Via:]
[last_From:]
[last_To:]{tag}
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:agent@[local_ip]:[local_port]>
Content-Length: 0

]]></send>
"""
OK = ANSWER.replace("{code}", "200 OK").replace("{tag}", "")
BYE_COMES = '<recv request="BYE"/>\n' + OK
TAGGED = ANSWER.replace("{tag}", ";tag=[pid]a[call_number]")
AGENT = (
    HEAD
    + '<recv request="INVITE"/>\n'
    + TAGGED.replace("{code}", "180 Ringing")
    + TAGGED.replace("{code}", "200 OK")
    + '<recv request="ACK"/>\n'
    + BYE_COMES
    + "</scenario>"
)


def refused(code: int) -> str:
    return (
        HEAD
        + INVITE.replace("{more}", "")
        + TRYING
        + RINGING
        + f'<recv response="{code}"/>\n'
        + ACK.replace("Via: [last_Via]", "[last_Via]")
        + "</scenario>"
    )


@pytest.fixture
async def pbx() -> AsyncIterator[Exchange]:
    found = exchange(agents=("8001", "8002", "8003", "8004", "8005"), refusal=603)
    refuses = {"12345": "busy", "6212345": "declines"}
    found.settings.hotlines |= {"12349": replace(QUICK, talk_s=5)}
    found.settings.hotlines |= {number: replace(QUICK, mode=Mode.DIAL, agent_does=does) for number, does in refuses.items()}
    found.settings.hotlines["12349000"] = replace(QUICK, mode=Mode.DIAL, agent_does="nothing", ring_timeout_s=0.2)
    found.settings.hotlines["12348"] = replace(QUICK, mode=Mode.DIAL, ring_s=5, ring_timeout_s=20)
    yield found
    await found.stop()


@pytest.fixture
async def face(pbx: Exchange) -> AsyncIterator[SipFace]:
    found = SipFace(pbx)
    await found.start()
    yield found
    await found.stop()


async def sipp(folder: Path, port: int, *arguments: str, calls: int = 1, called: str = "12349", scenario: str = "") -> dict[str, str]:
    """Run SIPp against the exchange; gives the last row of its own statistics."""
    statistics = folder / "statistics.csv"
    flow = ["-sn", "uac", "-d", "200"]
    if scenario:
        (folder / "scenario.xml").write_text(scenario)
        flow = ["-sf", str(folder / "scenario.xml")]
    command = [
        program("sipp"),
        *flow,
        "-s",
        called,
        "-m",
        str(calls),
        "-r",
        "20",
        "-l",
        str(calls),
        "-nostdin",
        "-trace_stat",
        "-stf",
        str(statistics),
    ]
    command += ["-fd", "1", "-i", "127.0.0.1", "-p", str(free_port(socket.SOCK_DGRAM)), *arguments, f"127.0.0.1:{port}"]
    process = await asyncio.create_subprocess_exec(*command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        async with asyncio.timeout(WAIT_S * 2):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, said.decode(errors="replace")[-2000:]
    with statistics.open() as file:
        return list(csv.DictReader(file, delimiter=";"))[-1]


@pytest.mark.parametrize("transport", ["u1", "t1"])
async def test_calls_over_udp_and_tcp(pbx: Exchange, face: SipFace, tmp_path: Path, transport: str) -> None:
    pbx.settings.hotlines["12349"] = replace(QUICK, talk_s=5, width=1)
    row = await sipp(tmp_path, face.port, "-t", transport, "-d", "600", calls=5)
    assert (row["SuccessfulCall(C)"], row["FailedCall(C)"]) == ("5", "0")
    await wait_until(lambda: len(pbx.truths) == 5, "five truths")
    assert {truth["by"] for truth in pbx.truths} == {"caller"}
    assert sorted(truth["agent"] for truth in pbx.truths) == ["8001", "8002", "8003", "8004", "8005"]
    seen = [face.seen[method] for method in ("INVITE", "ACK", "BYE")]
    if transport == "t1":
        assert (seen, int(row["Retransmissions(C)"])) == ([5, 5, 5], 0)
    else:
        assert min(seen) >= 5, "over UDP what a slow machine answers late comes again"


@pytest.mark.parametrize(
    ("called", "code", "reason"), [("12345", 486, "busy"), ("6212345", 603, "declined"), ("12349000", 603, "no_answer"), ("999", 404, "no_route")]
)
async def test_refusals(pbx: Exchange, face: SipFace, tmp_path: Path, called: str, code: int, reason: str) -> None:
    row = await sipp(tmp_path, face.port, called=called, scenario=refused(code))
    assert row["SuccessfulCall(C)"] == "1"
    await wait_until(lambda: pbx.truths, "the truth")
    assert (pbx.truths[0]["outcome"], pbx.truths[0]["reason"]) == ("missed", reason)
    assert pbx.truths[0]["form"] == "017400000001"


async def test_caller_cancels(pbx: Exchange, face: SipFace, tmp_path: Path) -> None:
    scenario = HEAD + INVITE.replace("{more}", "") + TRYING + CANCEL + ACK.replace("Via: [last_Via]", "[last_Via]") + "</scenario>"
    row = await sipp(tmp_path, face.port, called="12348", scenario=scenario)
    assert row["SuccessfulCall(C)"] == "1"
    await wait_until(lambda: pbx.truths, "the truth")
    assert (pbx.truths[0]["outcome"], pbx.truths[0]["by"]) == ("abandoned", "caller")


async def test_agent_hangs_up_first(pbx: Exchange, face: SipFace, tmp_path: Path) -> None:
    pbx.settings.hotlines["12349"] = replace(QUICK, hangs_up="agent")
    confirmed = (
        HEAD
        + INVITE.replace("{more}", "")
        + TRYING
        + '<recv response="200"/>\n'
        + ACK.replace("[last_Via]", "SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]")
    )
    row = await sipp(tmp_path, face.port, scenario=confirmed + BYE_COMES + "</scenario>")
    assert row["SuccessfulCall(C)"] == "1"
    await wait_until(lambda: pbx.truths, "the truth")
    assert (pbx.truths[0]["outcome"], pbx.truths[0]["by"]) == ("answered", "agent")


async def test_digest_challenge(pbx: Exchange, tmp_path: Path) -> None:
    face = SipFace(pbx, password="secret")
    await face.start()
    first = HEAD + INVITE.replace("{more}", "") + '<recv response="407" auth="true"/>\n' + ACK.replace("Via: [last_Via]", "[last_Via]")
    second = (
        AGAIN
        + TRYING
        + '<recv response="200" rtd="true"/>\n'
        + ACK.replace("[last_Via]", "SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]")
    )
    row = await sipp(tmp_path, face.port, scenario=first + second + BYE + "</scenario>")
    assert row["SuccessfulCall(C)"] == "1"
    assert face.seen["INVITE"] == 2
    await wait_until(lambda: pbx.truths, "the truth")
    assert len(pbx.truths) == 1
    await face.stop()


async def test_wrong_digest_is_asked_again(pbx: Exchange, tmp_path: Path) -> None:
    face = SipFace(pbx, password="other")
    await face.start()
    first = HEAD + INVITE.replace("{more}", "") + '<recv response="407" auth="true"/>\n' + ACK.replace("Via: [last_Via]", "[last_Via]")
    second = AGAIN + '<recv response="407"/>\n' + ACK.replace("Via: [last_Via]", "[last_Via]")
    row = await sipp(tmp_path, face.port, scenario=first + second + "</scenario>")
    assert row["SuccessfulCall(C)"] == "1"
    assert not pbx.truths
    await face.stop()


async def test_sipp_plays_the_agent(pbx: Exchange, face: SipFace, tmp_path: Path) -> None:
    """A second SIPp is agent 8001: the exchange calls it with a Call-ID of its own and hangs up when the caller has."""
    port = free_port(socket.SOCK_DGRAM)
    pbx.desks["8001"].sip = ("127.0.0.1", port)
    pbx.settings.hotlines["12349"] = replace(QUICK, width=1)
    folder = tmp_path / "agent"
    folder.mkdir()
    (folder / "agent.xml").write_text(AGENT)
    command = [
        program("sipp"),
        "-sf",
        str(folder / "agent.xml"),
        "-i",
        "127.0.0.1",
        "-p",
        str(port),
        "-m",
        "1",
        "-nostdin",
        "-trace_stat",
        "-stf",
        str(folder / "agent.csv"),
        "-fd",
        "1",
    ]
    agent = await asyncio.create_subprocess_exec(*command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        await wait_until(lambda: f":{port:04X}" in Path("/proc/net/udp").read_text(), "the agent listens")
        row = await sipp(tmp_path, face.port, "-d", "600")
        assert row["SuccessfulCall(C)"] == "1"
        async with asyncio.timeout(WAIT_S):
            assert await agent.wait() == 0
    finally:
        if agent.returncode is None:
            agent.kill()
            await agent.wait()
    truth = pbx.truths[0]
    assert (truth["outcome"], truth["agent"], truth["by"]) == ("answered", "8001", "caller")
    assert len(set(truth["sip_call_ids"])) == 2
    with (folder / "agent.csv").open() as file:
        assert list(csv.DictReader(file, delimiter=";"))[-1]["SuccessfulCall(C)"] == "1"


# ---- plain sockets


class Caller:
    """A UDP caller that does what it is told and nothing else."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.connect(("127.0.0.1", port))
        self.socket.setblocking(False)
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"
        self.to = "<sip:12349@127.0.0.1>"

    def send(self, method: str, *, cseq: int = 1, branch: str = "z9hG4bKone", body: str = "") -> None:
        lines = [
            f"{method} sip:12349@127.0.0.1 SIP/2.0",
            f"Via: SIP/2.0/UDP {self.address};branch={branch}",
            "Max-Forwards: 70",
            "f: <sip:017400000001@127.0.0.1>;tag=me",
            f"t: {self.to}",
            "i: one-call",
            f"CSeq: {cseq} {method}",
            f"m: <sip:me@{self.address}>",
            f"l: {len(body)}",
        ]
        self.socket.send(("\r\n".join(lines) + "\r\n\r\n" + body).encode())

    async def receive(self) -> str:
        async with asyncio.timeout(WAIT_S):
            return (await asyncio.get_running_loop().sock_recv(self.socket, 65_535)).decode()

    async def until(self, start: str) -> str:
        while not (message := await self.receive()).startswith(start):
            pass
        return message


@pytest.fixture
async def caller(face: SipFace) -> AsyncIterator[Caller]:
    found = Caller(face.port)
    yield found
    found.socket.close()


async def test_options_unknown_dialog_and_retransmitted_invite(pbx: Exchange, face: SipFace, caller: Caller) -> None:
    caller.send("OPTIONS")
    assert "\r\nAllow: INVITE" in await caller.until("SIP/2.0 200")
    caller.send("BYE")
    assert await caller.until("SIP/2.0 481")
    caller.send("INVITE")
    first = await caller.until("SIP/2.0 200")
    caller.send("INVITE")
    assert await caller.until("SIP/2.0 200") == first
    assert len(pbx.calls) == 1


async def test_200_is_repeated_until_the_ack(face: SipFace, caller: Caller, pbx: Exchange) -> None:
    caller.send("INVITE")
    first = await caller.until("SIP/2.0 200")
    assert await caller.until("SIP/2.0 200") == first  # after T1
    caller.to = re.search(r"To: (.*)\r\n", first)[1]  # type: ignore[index]
    caller.send("ACK", branch="z9hG4bKtwo")
    await wait_until(lambda: face.seen.get("ACK"), "the ACK")
    caller.send("INVITE", cseq=2, branch="z9hG4bKthree", body="a=sendonly\r\n")  # hold: no new call
    held = await caller.until("SIP/2.0 200")
    assert "CSeq: 2 INVITE" in held
    caller.send("ACK", cseq=2, branch="z9hG4bKfour")
    caller.send("BYE", cseq=3, branch="z9hG4bKfive")
    assert "CSeq: 3 BYE" in await caller.until("SIP/2.0 200")
    await wait_until(lambda: pbx.truths, "over")
    assert len(pbx.truths) == 1


async def confirmed(caller: Caller) -> None:
    """Place a call and acknowledge the first 200."""
    caller.send("INVITE")
    first = await caller.until("SIP/2.0 200")
    caller.to = re.search(r"To: (.*)\r\n", first)[1]  # type: ignore[index]
    caller.send("ACK", branch="z9hG4bKtwo")


async def test_second_200_of_a_fork_ends_alone(pbx: Exchange, face: SipFace, caller: Caller) -> None:
    pbx.settings.hotlines["12349"] = replace(QUICK, talk_s=5, fault="forked_200")
    await confirmed(caller)
    first = caller.to
    second = await caller.until("SIP/2.0 200")
    caller.to = re.search(r"To: (.*)\r\n", second)[1]  # type: ignore[index]
    assert caller.to != first
    caller.send("ACK", branch="z9hG4bKthree")
    caller.send("BYE", cseq=2, branch="z9hG4bKfour")
    assert "CSeq: 2 BYE" in await caller.until("SIP/2.0 200")
    await wait_until(lambda: any(call.agents for call in pbx.calls.values()), "an agent took it")
    caller.to = first
    caller.send("BYE", cseq=3, branch="z9hG4bKfive")
    await wait_until(lambda: pbx.truths, "over")
    assert (pbx.truths[0]["outcome"], pbx.truths[0]["by"]) == ("answered", "caller")


async def test_re_invite_of_the_exchange(pbx: Exchange, face: SipFace, caller: Caller) -> None:
    pbx.settings.hotlines["12349"] = replace(QUICK, hangs_up="agent", fault="re_invite")
    await confirmed(caller)
    again = await caller.until("INVITE sip:me@")
    assert re.search(r"\r\nFrom: .*;tag=", again)
    via = re.search(r"\r\n(Via: .*)\r\n", again)
    assert via
    lines = ["SIP/2.0 200 OK", via[1], "From: x;tag=1", "To: y;tag=2", "Call-ID: one-call", "CSeq: 2 INVITE", "Content-Length: 0"]
    caller.socket.send(("\r\n".join(lines) + "\r\n\r\n").encode())
    assert "CSeq: 2 ACK" in await caller.until("ACK ")
    assert "CSeq: 3 BYE" in await caller.until("BYE ")


async def test_lost_bye(pbx: Exchange, face: SipFace, caller: Caller) -> None:
    pbx.settings.hotlines["12349"] = replace(QUICK, hangs_up="agent", fault="lost_bye")
    await confirmed(caller)
    await wait_until(lambda: pbx.truths, "over for the exchange")
    caller.send("OPTIONS", cseq=9, branch="z9hG4bKsix")
    assert "CSeq: 9 OPTIONS" in await caller.receive()  # nothing came before it


async def test_two_messages_in_one_segment(face: SipFace) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", face.port)
    one = (
        "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP x;branch=z9hG4bK{0}\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\n"
        "Call-ID: {0}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
    data = (one.format(1) + one.format(2)).encode()
    writer.write(data[:200])
    await asyncio.sleep(0)
    writer.write(data[200:])
    found = b""
    async with asyncio.timeout(WAIT_S):
        while found.count(b"SIP/2.0 200") < 2:
            found += await reader.read(65_536)
    writer.close()


# ---- the mirror (HEP face)


def mirrored(listener: socket.socket) -> list[tuple[str, str, int]]:
    """(method or code, Call-ID, IP protocol) of what has arrived."""
    found = []
    while True:
        try:
            data = listener.recv(65_535)
        except BlockingIOError:
            return found
        place, chunks = 6, {}
        while place < len(data):
            _, kind, length = struct.unpack_from("!HHH", data, place)
            chunks[kind] = data[place + 6 : place + length]
            place += length
        words = chunks[15].split(b"\r\n")[0].decode().split(" ")
        call_id = re.search(rb"\r\n(?:Call-ID|i): (\S+)", chunks[15])
        assert call_id
        assert chunks[0x11] == call_id[1]
        found.append((words[1] if words[0] == "SIP/2.0" else words[0], call_id[1].decode(), chunks[2][0]))


@pytest.fixture
def listener() -> socket.socket:
    found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    found.bind(("127.0.0.1", 0))
    found.setblocking(False)
    return found


def flow(found: list[tuple[str, str, int]], call_id: str) -> str:
    return " ".join(name for name, call, _ in found if call == call_id)


FLOWS = {
    "": ("INVITE 100 200 ACK BYE 200", "INVITE 100 180 200 ACK BYE 200"),
    "lost_bye": ("INVITE 100 200 ACK", "INVITE 100 180 200 ACK BYE 200"),
    "forked_200": ("INVITE 100 200 ACK 200 ACK BYE 200 BYE 200", "INVITE 100 180 200 ACK BYE 200"),
    "late_ack": ("INVITE 100 200 200 ACK BYE 200", "INVITE 100 180 200 ACK BYE 200"),
    "re_invite": ("INVITE 100 200 ACK BYE 200", "INVITE 100 180 200 ACK INVITE 200 ACK BYE 200"),
}


@pytest.mark.parametrize("fault", list(FLOWS))
async def test_both_legs_are_mirrored(listener: socket.socket, fault: str) -> None:
    pbx = exchange(agents=("8001",))
    mirror = Mirror(listener.getsockname(), pbx.clock)
    pbx.faces.append(mirror)
    call = pbx.offer(replace(QUICK, fault=fault, talk_s=1.0 if fault == "late_ack" else 0.1), "+8617400000001", "017400000001", "12349")
    assert call is not None
    await over(call)
    found = mirrored(listener)
    assert tuple(flow(found, leg.sip_call_id) for leg in call.legs) == FLOWS[fault]
    assert mirror.packets == len(found)
    mirror.close()
    listener.close()


async def test_real_messages_are_mirrored_as_they_went(pbx: Exchange, listener: socket.socket, tmp_path: Path) -> None:
    mirror = Mirror(listener.getsockname(), pbx.clock)
    pbx.faces.append(mirror)
    face = SipFace(pbx, mirror)
    await face.start()
    await sipp(tmp_path, face.port, "-t", "t1")
    await wait_until(lambda: pbx.truths, "the truth")
    found = mirrored(listener)
    theirs, ours = pbx.truths[0]["sip_call_ids"][:2]
    assert flow(found, theirs) == "INVITE 100 200 ACK BYE 200"
    assert flow(found, ours) == "INVITE 100 180 200 ACK BYE 200"
    assert {protocol for _, call, protocol in found if call == theirs} == {6}
    await face.stop()
    mirror.close()
    listener.close()
