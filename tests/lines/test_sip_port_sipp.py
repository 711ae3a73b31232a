"""The SIP line with SIPp on the other side: its retransmissions, its TCP, its own digest authentication."""

import asyncio
import socket
from pathlib import Path

from servers import program
from waiting import free_port, wait_until

from tests.sip.sip_peer import Store, a_line, running

HEAD = """
MESSAGE sip:12349@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
Max-Forwards: 70
From: <sip:1234567890@[local_ip]:[local_port]>;tag=[pid]d[call_number]
To: <sip:12349@[remote_ip]:[remote_port]>
Call-ID: [call_id]
"""
MESSAGE = HEAD + "CSeq: 1 MESSAGE\nContent-Type: text/plain\nContent-Length: [len]\n\nhelp from [call_number]\n"
PROVED = HEAD + "CSeq: 2 MESSAGE\n[authentication username=alarm-01 password=s3cret]\nContent-Type: text/plain\nContent-Length: [len]\n\nhelp\n"


def scenario(*steps: str) -> str:
    return '<?xml version="1.0" encoding="UTF-8"?>\n<scenario name="alarm">\n' + "\n".join(steps) + "\n</scenario>\n"


def send(message: str, how: str = "") -> str:
    return f"<send {how}><![CDATA[{message}\n]]></send>"


def receive(code: int, how: str = "") -> str:
    return f'<recv response="{code}" {how}/>'


async def sipp(folder: Path, port: int, steps: str, *arguments: str, calls: int = 1, answers: int = 0) -> str:
    """Run it to its end, or until it has logged so many answers 200; AssertionError with what it logged when a call failed."""
    (folder / "alarm.xml").write_text(steps)
    process = await asyncio.create_subprocess_exec(
        *(program("sipp"), f"127.0.0.1:{port}", "-sf", str(folder / "alarm.xml"), "-m", str(calls), "-i", "127.0.0.1", "-nostdin"),
        *("-p", str(free_port(socket.SOCK_DGRAM))),
        *("-timeout", "20s", "-timeout_error", "-trace_err", "-trace_msg", "-message_file", str(folder / "messages.log"), *arguments),
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    log = folder / "messages.log"
    if answers:
        await wait_until(lambda: _count(log, "SIP/2.0 200 OK") >= answers or process.returncode is not None, "SIPp has its answers")
        if process.returncode is None:
            process.terminate()
    said, _ = await asyncio.wait_for(process.communicate(), 30)
    messages = await asyncio.to_thread(lambda: log.read_text() if log.exists() else "")
    assert answers or process.returncode == 0, said.decode()[-1500:] + messages[-3000:]
    return messages


def _count(log: Path, words: str) -> int:
    return log.read_text().count(words) if log.exists() else 0


async def test_five_transmissions_are_one_alarm_and_five_identical_answers(tmp_path: Path) -> None:
    """SIPp sends the same octets five times, as a device does that misses every answer; what it received stands in its own log."""
    again = MESSAGE.replace("[branch]", "z9hG4bK-[call_number]-same")
    steps = scenario(*[send(again)] * 5, receive(200), '<pause milliseconds="20000"/>')
    async with running(a_line(), store := Store()) as line:
        messages = await sipp(tmp_path, line.port or 0, steps, "-default_behaviors", "none", answers=5)
        assert len(store.kept) == 1
        assert line.counts["retransmissions"] >= 4
    answers = [part.partition("\n-----")[0] for part in messages.split("SIP/2.0 200 OK")[1:]]
    assert len(answers) >= 5  # SIPp adds some of its own, as it did not expect more than one answer
    assert len({answer.strip() for answer in answers}) == 1


async def test_sipp_repeats_by_its_own_timer_until_the_store_has_it(tmp_path: Path) -> None:
    store = Store(gate=asyncio.Event())
    async with running(a_line(), store) as line:
        alarm = asyncio.create_task(sipp(tmp_path, line.port or 0, scenario(send(MESSAGE, 'retrans="100"'), receive(200))))
        await wait_until(lambda: line.counts["retransmissions"] >= 2 or alarm.done(), "SIPp repeats")
        assert store.gate is not None
        store.gate.set()
        await alarm
        assert line.counts["retransmissions"] >= 2
        assert len(store.kept) == 1


async def test_two_hundred_alarms_over_one_tcp_connection(tmp_path: Path) -> None:
    async with running(a_line(also=["tcp:0:interface=127.0.0.1"]), store := Store()) as line:
        await sipp(tmp_path, line.ports[1][2], scenario(send(MESSAGE), receive(200)), "-t", "t1", "-r", "200", calls=200)
        assert len({event.dedup for event in store.events}) == 200
        assert line.counts["connections"] == 1


async def test_sipps_own_password(tmp_path: Path) -> None:
    """SIPp 3.6 knows MD5 only, and looks at the first challenge only: what `algorithms` is there for."""
    passwords = tmp_path / "sip.toml"
    passwords.write_text('[devices]\nalarm-01 = "s3cret"\n')
    line = a_line(authentication="required", credentials_file=str(passwords), algorithms=["MD5"])
    async with running(line, store := Store()):
        await sipp(tmp_path, line.port or 0, scenario(send(MESSAGE), receive(401, 'auth="true"'), send(PROVED), receive(200)))
        assert [event.integrity for event in store.events] == ["verified"]


async def test_a_wrong_password_in_sipp(tmp_path: Path) -> None:
    passwords = tmp_path / "sip.toml"
    passwords.write_text('[devices]\nalarm-01 = "another"\n')
    async with running(a_line(authentication="required", credentials_file=str(passwords), algorithms=["MD5"]), store := Store()) as line:
        await sipp(tmp_path, line.port or 0, scenario(send(MESSAGE), receive(401, 'auth="true"'), send(PROVED), receive(401)))
        assert store.kept == []


async def test_options_and_a_call(tmp_path: Path) -> None:
    call = MESSAGE.replace("MESSAGE", "INVITE")
    acked = HEAD.replace("MESSAGE", "ACK").replace("To: <sip:12349@[remote_ip]:[remote_port]>", "[last_To:]") + "CSeq: 1 ACK\nContent-Length: 0\n"
    ping = HEAD.replace("MESSAGE", "OPTIONS") + "CSeq: 1 OPTIONS\nContent-Length: 0\n"
    async with running(a_line(), store := Store()) as line:
        await sipp(tmp_path, line.port or 0, scenario(send(call), receive(405), send(acked)))
        await sipp(tmp_path, line.port or 0, scenario(send(ping), receive(200)))
        assert store.kept == []
        assert line.counts["ack"] == 1
