"""`simulate exchange` as a program of its own: calls by the hour, and a truth file that all four faces agree with."""

import asyncio
import json
import re
import signal
import socket
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from waiting import WAIT_S, wait_until

from simulators.exchange.call import Mode
from simulators.exchange.mix import SHARES, Mix
from tests.simulators.exchange_wires import AmiReader, EslReader

TIMES = ("offered", "ringing", "answered", "ended")


async def start(*arguments: str) -> tuple[asyncio.subprocess.Process, dict[str, Any]]:
    """Start the command; gives it and what it said first: its ports."""
    command = (sys.executable, "-m", "simulators.cli", "exchange", *arguments)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(4 * WAIT_S):
            return process, json.loads(await process.stdout.readline())
    except BaseException:
        process.kill()
        await process.wait()
        raise


async def finish(process: asyncio.subprocess.Process) -> list[dict[str, Any]]:
    """Wait for its end; gives the rest of what it said."""
    try:
        async with asyncio.timeout(4 * WAIT_S):
            said, complaint = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert (process.returncode, complaint.decode()) == (0, "")
    return [json.loads(line) for line in said.splitlines()]


async def test_truth_balances_with_every_face(tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
    listener.bind(("127.0.0.1", 0))
    listener.setblocking(False)
    truth_file = tmp_path / "truth.jsonl"
    hep = f"127.0.0.1:{listener.getsockname()[1]}"
    arguments = ["--ami-port", "0", "--esl-port", "0", "--hep", hep, "--calls-per-hour", "54000", "--seconds", "3", "--talk", "1"]
    process, ports = await start(*arguments, "--faulty", "0.2", "--seed", "7", "--truth", str(truth_file))
    ami = await AmiReader().connect(ports["ami"])
    await ami.ask("Action: Login", "Username: gateway", "Secret: gateway", "Events: call,agent")
    esl = await EslReader().connect(ports["esl"])
    await esl.ask("auth simulated")
    await esl.ask("event json CHANNEL_CREATE CHANNEL_BRIDGE CHANNEL_HANGUP_COMPLETE")
    (done,) = await finish(process)
    await wait_until(lambda: ami.is_closed and esl.is_closed, "both wires closed")

    truths = [json.loads(line) for line in truth_file.read_text().splitlines()]
    assert done["calls"] == done["placed"] == len(truths) == len({truth["call"] for truth in truths}) > 20
    assert done["outcomes"] == Counter(truth["outcome"] for truth in truths)
    assert done["peak"] > 8
    for truth in truths:
        times = [truth["times"][name] for name in TIMES if truth["times"][name] is not None]
        assert times == sorted(times)
        assert (truth["outcome"] == "answered") == bool(truth["agent"]) == (truth["times"]["answered"] is not None)
        assert truth["outcome"] in ("answered", "abandoned", "missed")
        assert (truth["by"] == "caller") or truth["outcome"] != "abandoned"

    # The witnesses came a moment after the first calls: what they saw from the beginning must agree.
    seen = [truth for truth in truths if truth["linkedid"] in {event["Uniqueid"] for event in ami.events("Newchannel")}]
    assert len(seen) > len(truths) / 2
    hung_up = Counter(event["Uniqueid"] for event in ami.events("Hangup"))
    asked = {event["Uniqueid"] for event in ami.events("HangupRequest")}
    bridged = {event["Linkedid"] for event in ami.events("BridgeEnter")}
    for truth in seen:
        assert hung_up[truth["linkedid"]] == 1
        assert (truth["linkedid"] in bridged) == (truth["outcome"] == "answered")
        assert (truth["linkedid"] in asked) == (truth["by"] == "caller")

    created = {event["Unique-ID"] for event in esl.events("CHANNEL_CREATE")}
    ended = Counter(event["Unique-ID"] for event in esl.events("CHANNEL_HANGUP_COMPLETE"))
    talked = {event["Bridge-A-Unique-ID"] for event in esl.events("CHANNEL_BRIDGE")}
    seen = [truth for truth in truths if truth["uuid"] in created]
    assert len(seen) > len(truths) / 2
    assert all(ended[truth["uuid"]] == 1 for truth in seen)
    assert {truth["uuid"] for truth in seen if truth["outcome"] == "answered"} == talked & {truth["uuid"] for truth in seen}

    data = []
    while True:
        try:
            data.append(listener.recv(65_535))
        except BlockingIOError:
            break
    listener.close()
    assert len(data) == done["packets"]
    invited = {match[1].decode() for packet in data if b"INVITE sip:" in packet and (match := re.search(rb"\r\nCall-ID: (\S+)", packet))}
    assert invited == {call_id for truth in truths for call_id in truth["sip_call_ids"]}
    await ami.close()
    await esl.close()


async def test_ended_by_a_signal_and_lines_on_standard_output() -> None:
    process, ports = await start("--sip-port", "0", "--calls-per-hour", "36000", "--talk", "60", "--seed", "3")
    assert ports["sip"]
    assert ports["ami"] is None
    reader, writer = await asyncio.open_connection("127.0.0.1", ports["sip"])
    writer.close()
    reader.feed_eof()
    await wait_until(lambda: process.returncode is None)
    process.send_signal(signal.SIGTERM)
    *truths, done = await finish(process)
    assert done["done"] is True
    assert len(truths) == done["calls"]
    assert {truth["reason"] for truth in truths if truth["by"] == "exchange"} <= {"stopped", "busy", "queue_timeout", "no_answer"}


async def test_restart_on_demand(tmp_path: Path) -> None:
    arguments = ["--ami-port", "0", "--calls-per-hour", "36000", "--seconds", "1", "--talk", "0.5", "--fault", "restart@0.5", "--fault", "flood@0.7"]
    process, _ = await start(*arguments, "--truth", str(tmp_path / "truth.jsonl"))
    (done,) = await finish(process)
    truths = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text().splitlines()]
    assert any(truth["reason"] == "restart" for truth in truths)
    assert done["calls"] == len(truths) == done["placed"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--fault", "earthquake@1"], "'earthquake' is none of"),
        (["--agent", "9999=127.0.0.1:5060"], "'9999' is none of 8001"),
        (["--hep", "nowhere"], "is not like 127.0.0.1:9060"),
    ],
)
def test_wrong_use_is_named(arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    from simulators.cli import main

    try:
        code = main(["exchange", *arguments])
    except SystemExit as ended:
        code = int(ended.code or 0)
    assert code == 2
    assert complaint in capsys.readouterr().err


def test_mix_has_its_shares_and_repeats_by_its_seed() -> None:
    first, second = Mix(5), Mix(5)
    drawn = [first.draw() for _ in range(5_000)]
    assert drawn == [second.draw() for _ in range(5_000)]
    found = Counter(placed.plan.scenario for placed in drawn)
    for scenario, share in SHARES.items():
        assert abs(found[scenario] / 50 - share) < 3
    assert {placed.called for placed in drawn} == {"12349", "12345", "6212345"}
    assert all(placed.caller.startswith("+8617400") for placed in drawn if placed.caller)
    assert all(placed.plan.mode is Mode.DIAL for placed in drawn if placed.plan.scenario == "busy")
    again = [found for placed in drawn if (found := first.again(placed))]
    assert 0.4 < len(again) / len(drawn) < 0.6
    assert all(placed.caller for _, placed in again)
