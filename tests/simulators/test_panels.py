"""Simulated receivers, nurse-call ends, panels of lines and pagers: bytes of the fact sheets, timings, what each believes."""

import json
from pathlib import Path

import pytest
from servers import free_port
from waiting import wait_until

from simulators.cli import main
from simulators.panels.block_adapter import BlockAdapter, block
from simulators.panels.line_panels import AlarmDecoder, ElkPanel, NessPanel, RfLink, elk_line, ness_line
from simulators.panels.nurse_call import NurseCallMaster, NurseCallStation, quirky_block
from simulators.panels.pagers import Comp2Sender, TapSender, comp2_record, tap_block
from simulators.panels.receiver import AlarmReceiver, even_parity
from simulators.wire import SerialWire, ServedWire, TcpWire, UdpWire, read_wire
from tests.simulators.scripted_wire import Scripted, running

ACK, NAK, EOT = b"\x06", b"\x15", b"\x04"
CALL = bytes.fromhex("0131023 11f3230311e321f526f6f6d2031322063616c6c0320".replace(" ", ""))


def test_published_bytes() -> None:
    assert elk_line("ZC0029") == "0AZC002900C7"
    assert elk_line("XK2636115020605110") == "16XK2636115020605110006F"
    assert ness_line("87", "00", "61", "000700", "180921183709") == "8700036100070018092118370974"
    assert ness_line("87", "00", "61", "090109", "180921183139", sequence=True)[4:6] == "83"
    assert ness_line("82", "00", "60", "000000") == "820003600000001b"
    assert tap_block("123", "ABC").hex() == "023132330d4142430d0331373b0d"
    assert tap_block("9001", "FALL IN ROOM 5").endswith(b"471\r")
    assert comp2_record("1234", "", "A") == b"\x7f\x7f\x7f1234A\r\r"
    assert block("1234", "131", "015") == "1234181131010158"
    assert block("1234", "101", "005", group="00") == "123418110100005D"
    assert block("1234", "110", "002", group="01") == "1234181110010020"
    assert block("C0FE", "154", "011", group="02") == "C0FE181154020110"
    assert quirky_block(CALL, frozenset({"trailing_rs"})).hex().endswith("1e033e")
    assert quirky_block(CALL, frozenset({"leading_space"})).hex() == "010131022031"[2:] + CALL.hex()[8:-2] + "00"
    assert even_parity(b"\x14\x01\x03") == b"\x14\x81\x03"


@pytest.mark.parametrize("system3", [False, True])
async def test_receiver_repeats_three_times_then_waits_for_a_heartbeat_and_bursts(system3: bool) -> None:
    link = Scripted()
    receiver = AlarmReceiver(link, system3=system3, answer_s=0.01, heartbeat_s=0.02, fault_s=0.02)
    presses = [receiver.press("4321", f"00{zone}") for zone in range(1, 4)]
    async with running(receiver.run()):
        await wait_until(lambda: receiver.computer_fault and receiver.heartbeats > 1)
        assert presses[0].tries == 4
        assert presses[1].tries == 0, "one record in flight"
        link.answer = lambda data: ACK if data.endswith(b"\x14") else b""
        await wait_until(lambda: all(sent.confirmed is not None for sent in presses))
    records = [data for data in link.written if data.startswith(b"5")]
    line = "001" if system3 else "1"
    assert records[0] == f"501{line} 184321E10101001\x14".encode()
    beat = next(data for data in link.written if data.startswith(b"1"))
    assert len(beat) == (23 if system3 else 21)


async def test_receiver_takes_nak_for_a_repeat_and_keeps_so_many() -> None:
    answers = iter([NAK, NAK, ACK])
    receiver = AlarmReceiver(Scripted(lambda _data: next(answers, ACK)), answer_s=0.1)
    sent = receiver.press("4321", "001")
    async with running(receiver.run()):
        await wait_until(lambda: sent.confirmed is not None)
    assert list(sent.answers) == ["NAK", "NAK", "ACK"]
    full = AlarmReceiver(Scripted())
    assert [full.press("4321", "001").refused for _ in range(128)].count(True) == 1


async def test_receiver_quirks() -> None:
    link = Scripted(lambda _data: ACK)
    receiver = AlarmReceiver(link, quirks=frozenset({"glued", "parity"}))
    async with running(receiver.run()):
        sent = receiver.press("7037", "003", "130")
        await wait_until(lambda: sent.confirmed is not None)
    plain = bytes(octet & 0x7F for octet in next(data for data in link.written if data.startswith(b"5")))
    assert plain == b"5011 187037E13001005011 187037E13001003\x14"  # the first copy is cut


async def test_nurse_call_master_says_a_call_again_until_it_is_cancelled() -> None:
    taken: list[bytes] = []

    def station(data: bytes) -> bytes:
        if data[:1] == b"\x01":
            taken.append(data)
            return ACK
        return ACK if data.endswith(b"1\x052\x05") else EOT if data.endswith(b"2\x05") else b""

    master = NurseCallMaster(Scripted(station), poll_s=0.02, answer_s=0.1, again_s=0.05)
    async with running(master.run()):
        sent = master.cry("201", "Room 12 call")
        await wait_until(lambda: sent.confirmed is not None and len(taken) > 3)
        cancel = master.cry("201", "Room 12 call", what="cancel")
        await wait_until(lambda: cancel.confirmed is not None)
        said = len(taken)
        await wait_until(lambda: master.polls > 10)
    assert len(taken) == said, "cancelled: not said again"
    assert b"4\x1f1" in taken[-1]


async def test_nurse_call_master_without_its_own_enquiry() -> None:
    link = Scripted(lambda data: ACK if data[:1] == b"\x01" or data.endswith(b"2\x05") else b"")
    master = NurseCallMaster(link, poll_s=0.02, answer_s=0.1, quirks=frozenset({"no_own_enquiry"}))
    async with running(master.run()):
        sent = master.cry("201", "x")
        await wait_until(lambda: sent.confirmed is not None)
    assert not any(b"1\x05" in data for data in link.written if data[:1] != b"\x01")


async def test_nurse_call_station_waits_for_its_poll() -> None:
    answers = iter([ACK, b"1" + NAK, ACK])
    link = Scripted(lambda data: next(answers) if data in (b"1\x05",) or data[:1] == b"\x01" else b"")
    station = NurseCallStation(link, answer_s=0.2)
    async with running(station.run()):
        sent = station.cry("201", "Room 12 call")
        link.data_received(b"\x043\x05")  # somebody else is polled
        link.data_received(b"\x042\x05")
        await wait_until(lambda: sent.confirmed is not None)
        link.data_received(b"\x042\x05")
        await wait_until(lambda: station.polls == 2)
        await wait_until(lambda: link.written[-1] == EOT and len(link.written) > 4)
    assert [data[:1] for data in link.written] == [b"1", b"\x01", b"\x01", EOT, EOT]
    assert list(sent.answers) == ["nak", "ACK"]


async def test_panels_of_lines_answer_what_they_are_asked() -> None:
    ness, elk = Scripted(), Scripted()
    one, other = NessPanel(ness, life_s=60), ElkPanel(elk, life_s=60)
    async with running(one.run(), other.run()):
        assert list(one.press(7).answers) == ["written"]
        other.press(12)
        ness.data_received(b"8300360S00E9\r\n8300360S05E4\r\n")
        elk.data_received(b"06az00\r\n06zs004D\r\n06as0066\r\n")
        await wait_until(lambda: one.asked == 2 and other.asked == 3)
        one.press(7, restore=True)
        other.press(12, restore=True)
    answers = [data for data in ness.written if data.startswith(b"82")]
    assert answers[1].startswith(b"8200036005400")  # bit 6 of the first byte: zone 7
    zones = [data[4:-6] for data in elk.written if data[2:4] == b"AZ"]
    assert all(told[11:12] == b"B" for told in zones[:2])
    assert zones[-1] == b"0" * 208
    for data in ness.written:
        assert sum(bytes.fromhex(data.strip().decode())) % 256 == 0


async def test_adapters_print_every_copy() -> None:
    one, other = Scripted(), Scripted()
    decoder, radio = AlarmDecoder(one), RfLink(other, copies=3)
    decoder.press("0102532")
    decoder.report(12)
    decoder.battery("0102532")
    await radio.press("A1B2C3", "2", pause_s=0)
    assert b"".join(one.written).split() == [b"!RFX:0102532,80"] * 2 + [b"!RFX:0102532,00", b"!LRR:012,1,CID_1101,ff", b"!RFX:0102532,02"]
    assert [data[:5] for data in other.written] == [b"20;01", b"20;02", b"20;03"]
    lost = AlarmDecoder(Scripted(refuses=True)).press("0102532")
    assert not lost.answers, "nobody was there"


async def test_tap_dialogue() -> None:
    answers = {b"\r": b"ID=", b"\x1bPG1\r": b"\x06\r\x1b[p\r", b"\x04\r": b"\x1b\x04\r"}
    blocks = iter([b"\x15\r", b"\x06\r", b"\x1e\r"])
    link = Scripted(lambda data: answers.get(data) or next(blocks))
    sender = TapSender(link, answer_s=0.3, wake_s=0.1)
    first, second = sender.press("123", "ABC"), sender.press("124", "DEF")
    async with running(sender.run()):
        await wait_until(lambda: first.over and second.over)
    assert list(first.answers) == ["NAK", "ACK"]
    assert second.refused, "RS: the terminal gives this one up"
    silent = Scripted()
    Comp2Sender(silent).press("1234", "Call 5")
    assert silent.written == [b"\x7f\x7f\x7f1234\rCall 5\r"]


async def test_adapter_waits_for_the_kiss_off() -> None:
    answers = iter([b"", b"", ACK])
    adapter = BlockAdapter(Scripted(lambda _data: next(answers)), answer_s=0.01, dial_s=0.01)
    sent = adapter.press("1234", "005")
    async with running(adapter.run()):
        await wait_until(lambda: sent.confirmed is not None)
    assert sent.tries == 3


def test_wires_by_name() -> None:
    kinds = {"serial:/tmp/x": SerialWire, "tcp:127.0.0.1:1": TcpWire, "udp:[::1]:1": UdpWire, "serve:127.0.0.1:1": ServedWire}
    assert {text: type(read_wire(text)) for text in kinds} == kinds
    for text in ("", "serial:", "tcp:1", "tcp:host:x", "smoke:a:1"):
        with pytest.raises(ValueError, match="is not like"):
            read_wire(text)


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["panel", "comp2", "--to", f"serial:{tmp_path}/port", "--account", "1234", "--presses", "2", "--every", "0"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["device"], one["outcome"], one["answers"]) for one in told] == [("1234", "unanswered", ["written"])] * 2
    assert main(["panel", "dc09", "--to", f"udp:127.0.0.1:{free_port()}", "--seconds", "0.3", "--answer", "0.05"]) == 1
    assert main(["panel", "dc09", "--to", "udp:127.0.0.1:1", "--key", "abcd"]) == 2
    assert main(["panel", "ness", "--to", "serial:/tmp/x", "--quirk", "glued"]) == 2
    assert "minute_60" in capsys.readouterr().err
