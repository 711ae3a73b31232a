"""The simulated DC-09 dialler: published frames byte by byte, and what it takes for an acknowledgement."""

from datetime import UTC, datetime

import pytest
from waiting import wait_until

from simulators.panels.dc09_text import TIME, crc_arc, decipher, encipher, frame, read_reply
from simulators.panels.dialler import Dialler, Event
from simulators.sent import Sent
from tests.simulators.scripted_wire import Scripted, running

KEY = bytes(range(16))
# the public fioletoven/dc09 frames (key ABCD…), and those of the fact sheet made for the clock of 2026-02-01T12:00:00Z
CAPTURED = (
    b"A054F111518361720BAB126501C6D994CD9151D2C84881C0FEA933A0790F49A9236EBD45F2AED32FAA252EB1AA18FC3CDEDE2452F33185E5931D31308D9B9882",
    b"|#080027E62A64|NHB0003][E115000]_15:12:40,06-22-2015",
)
FOR_192 = (
    b"C3E5E67B4A1AEA689F6E6654BA017A84FA876F17B24F6CB6C85220B2E4584076BB4DEB2F606A35325B865779A39ED27F",
    b"|#8A8A|Nri1/MA003]_12:00:00,02-01-2026",
)
FOR_256 = (
    b"566C9B32A0266632FC84B7B712641AE52D81F99736298E1CCD2364A82696398C1326E134947C245F1A62A251DDD4FDD7C99323D55F5567FDF8652221B8EFFB3E",
    b"|#8A8A|3301 00 000][M001122334455]_12:00:00,02-01-2026",
)


def test_published_check_and_frames() -> None:
    assert crc_arc(b"123456789") == 0xBB3D
    plain = Dialler("4711", [], stamps=False)
    assert plain.encode(Event(Sent("4711"), 1, "100", "01", "005", 3)) == b'\nD5350027"ADM-CID"0003L0#4711[#4711|1100 01 005]\r'
    assert plain.encode(Event(Sent("4711"), sequence=6, is_null=True)) == b'\nEDCF0013"NULL"0006L0#4711[]\r'
    sia = Dialler("4711", [], token="SIA-DCS", stamps=False)
    assert sia.encode(Event(Sent("4711"), 1, "101", "01", "005", 5)) == b'\n36FD0026"SIA-DCS"0005L0#4711[#4711|Nri1/QA005]\r'


@pytest.mark.parametrize(
    ("key", "vector"),
    [(bytes.fromhex("ABCD" * 8), CAPTURED), (bytes(range(24)), FOR_192), (bytes(range(32)), FOR_256)],
    ids=["128", "192", "256"],
)
def test_published_cipher_texts(key: bytes, vector: tuple[bytes, bytes]) -> None:
    assert decipher(key, vector[0]) == vector[1]
    for length in range(40):  # padding of 1 to 16 bytes, always
        clear = b"|" + b"x" * length + b"]"
        cipher = encipher(key, clear)
        assert len(cipher) % 32 == 0
        assert len(cipher) // 2 > len(clear)
        assert decipher(key, cipher.encode()) == clear


def test_quirks_of_the_sheet() -> None:
    body = b'"ADM-CID"0247R4F39L4F39#4F39[#4F39|3401 01 057]'
    assert frame(body, frozenset({"decimal_length"})) == b"\n57150047" + body + b"\r"  # as a real panel writes it
    assert frame(body, frozenset({"lower_hex", "nul_after_cr"})) == b"\n5715002f" + body + b"\r\0"
    assert b'"0001L#4711[' in Dialler("4711", [], quirks=frozenset({"no_line"})).encode(Event(Sent("x"), sequence=1))


def test_replies_are_checked() -> None:
    ack = b'7FA90052"*ACK"0011L0#8A8A[11B2E0C9D50AB5205051DB3253E878E7EF31D813190F0384827E80376C599D14'
    assert read_reply(ack, KEY).sound
    assert not read_reply(ack, bytes(16)).sound, "a key that does not fit"
    assert not read_reply(ack[:-1] + b"5", KEY).sound, "a wrong check"
    assert read_reply(b'D36C0025"NAK"0000R0L0A0[]_12:00:00,02-01-2026', b"").at == datetime(2026, 2, 1, 12, tzinfo=UTC)


def acknowledge(data: bytes, word: str = "ACK", shift: int = 0, account: str = "4711") -> bytes:
    sequence = (int(data.split(b'"')[2][:4]) + shift) % 10_000
    return frame(f'"{word}"{sequence:04}L0#{account}[]'.encode())


LIES = {
    "another number": lambda data: acknowledge(data, shift=1),
    "another account": lambda data: acknowledge(data, account="4712"),
    "a wrong check": lambda data: acknowledge(data).replace(b"ACK", b"ACX"),
    "nothing": lambda _data: b"",
    "rubbish": lambda _data: b"\nHTTP/1.1 400\r",
}


@pytest.mark.parametrize("lie", LIES)
async def test_what_is_no_acknowledgement_leaves_the_event_with_the_backup(lie: str) -> None:
    main, backup = Scripted(LIES[lie]), Scripted(acknowledge)
    panel = Dialler("4711", [main, backup], answer_s=0.02)
    async with running(panel.run()):
        sent = panel.press("005")
        await wait_until(lambda: sent.over)
    assert list(sent.answers)[-1] == "ACK"
    assert sent.tries >= 3
    assert main.written
    assert len({data.split(b"[")[0][-12:] for data in main.written if b"ADM" in data}) == 1, "a repetition keeps its number"


async def test_a_plain_acknowledgement_of_an_encrypted_event_is_not_believed() -> None:
    panel = Dialler("4711", [Scripted(acknowledge)], key=KEY, answer_s=0.02, round_s=0.01)
    async with running(panel.run()):
        sent = panel.press("005")
        await wait_until(lambda: sent.tries > 4)
    assert sent.confirmed is None


async def test_main_receiver_away() -> None:
    panel = Dialler("4711", [Scripted(refuses=True), Scripted(acknowledge)], answer_s=0.02)
    async with running(panel.run()):
        sent = panel.press("005")
        await wait_until(lambda: sent.confirmed is not None)


async def test_nak_sets_the_clock_and_the_event_goes_out_again() -> None:
    def strict(data: bytes) -> bytes:
        head, _, cipher = data.strip().partition(b"[")
        stamp = decipher(KEY, cipher).rpartition(b"_")[2].decode()
        off = datetime.strptime(stamp, TIME[1:]).replace(tzinfo=UTC) - datetime.now(UTC)
        if abs(off.total_seconds()) > 20:
            return frame(f'"NAK"0000R0L0A0[]{datetime.now(UTC).strftime(TIME)}'.encode())
        sequence = head.split(b'"')[2][:4].decode()
        clear = f"]{datetime.now(UTC).strftime(TIME)}".encode()
        return frame(f'"*ACK"{sequence}L0#4711['.encode() + encipher(KEY, clear).encode())

    panel = Dialler("4711", [Scripted(strict)], key=KEY, clock_off_s=300.0, answer_s=0.2, round_s=0.01)
    sent = panel.press("005")
    async with running(panel.run()):
        await wait_until(lambda: sent.confirmed is not None)
    assert list(sent.answers) == ["NAK", "ACK"]
    assert abs(panel.clock_off_s) < 2


async def test_supervision_and_refusal() -> None:
    link = Scripted(acknowledge)
    panel = Dialler("4711", [link], null_s=0.01, answer_s=0.1)
    async with running(panel.run()):
        await wait_until(lambda: panel.nulls_confirmed >= 3)
        link.answer = lambda data: acknowledge(data, "DUH" if b"ADM" in data else "ACK")
        sent = panel.press("005")
        await wait_until(lambda: sent.over)
    assert sent.refused
    assert sent.confirmed is None
