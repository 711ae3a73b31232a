"""SIA DC-09 as the receiver: captures, other diallers' frames, every kind of bad input, and answers only for what is kept."""

import tomllib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from codec_checks import check_flips, check_fragments, check_prefixes_wait, fuzz, look, run_out, talk
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from drivers.contract import Rejected, Signal, Surroundings
from drivers.panel import dc09_cipher
from drivers.panel.accounts import read_accounts
from drivers.panel.dc09_block import read_block
from drivers.panel.dc09_body import read_extended
from drivers.panel.dc09_frame import crc16
from drivers.panel.dc09_memory import Dc09Memory
from drivers.panel.sia_dc09 import REASONS, Dc09Options, SiaDc09
from gateway.event import Kind, Phase

VECTORS = tomllib.loads((Path(__file__).parent.parent / "vectors" / "panel" / "sia_dc09.toml").read_text("utf-8"))
FRAMES = VECTORS["frame"]
NOON = datetime(2026, 2, 1, 12, 0, 0, tzinfo=UTC)
KEY = bytes(range(16))
ENCRYPTED = {"8A8A": {"key": KEY.hex()}}
PENDANT = '"ADM-CID"0001L0#4711[#4711|1101 01 005]'


def wire(body: str | bytes) -> bytes:
    """A frame made apart from the codec; the CRC after the definition, bit by bit."""
    data = body if isinstance(body, bytes) else body.encode()
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return b"\n" + f"{crc:04X}{len(data):04X}".encode() + data + b"\r"


def encrypted(head: str, text: str, key: bytes = KEY) -> bytes:
    """`head` ends with the [; `text` is what stands behind the pad."""
    plain = text.encode()
    plain = b"x" * (16 - len(plain) % 16) + plain
    cipher = Cipher(algorithms.AES(key), modes.CBC(bytes(16))).encryptor()
    return wire(head.encode() + (cipher.update(plain) + cipher.finalize()).hex().upper().encode())


def opened(answer: bytes, key: bytes) -> tuple[str, str]:
    """(head up to the [, what stands behind the pad) of an encrypted answer."""
    assert answer == wire(answer[9:-1])
    head, _, digits = answer[9:-1].decode().partition("[")
    assert digits == digits.upper()
    cipher = Cipher(algorithms.AES(key), modes.CBC(bytes(16))).decryptor()
    plain = cipher.update(bytes.fromhex(digits)) + cipher.finalize()
    pad, bracket, text = plain.partition(b"]")
    assert 1 <= len(pad) <= 16
    assert not set(b"[]|") & set(pad)
    return f"{head}[", (bracket + text).decode()


def place(now: datetime = NOON, accounts: dict[str, Any] | None = None, **more: Any) -> Surroundings:
    read, problems = read_accounts(accounts or {})
    assert not problems
    return Surroundings(line="panels", utc_now=lambda: now, memory=Dc09Memory(read), **more)


def receiver(now: datetime = NOON, accounts: dict[str, Any] | None = None, options: Dc09Options | None = None, **more: Any) -> SiaDc09:
    return SiaDc09(options, place(now, accounts, **more))


def signals(codec: SiaDc09, data: bytes, now: float = 1.0) -> list[Signal]:
    return [one for one in codec.receive_data(data, now) if isinstance(one, Signal)]


@pytest.mark.parametrize("row", FRAMES, ids=lambda row: row["id"])
def test_vector(row: dict[str, Any]) -> None:
    now = datetime.fromisoformat(row["now"])
    codec = SiaDc09(Dc09Options(accounts=row.get("accounts", {})), Surroundings(utc_now=lambda: now))
    frame = b"\n" + row["frame"].encode() + b"\r"
    found = codec.receive_data(frame, 1.0)
    assert codec.data_to_send() == b"", "nothing is answered before it is kept"
    for one in found:
        codec.confirm(one)
    answer = codec.data_to_send()
    assert all(one.raw == frame for one in found)
    if "rejected" in row:
        assert [one.reason for one in found if isinstance(one, Rejected)] == [row["rejected"]]
        assert len(found) == 1
    for expected, signal in zip(row.get("events", ()), found, strict="events" in row):
        assert isinstance(signal, Signal)
        assert (str(signal.kind), str(signal.phase)) == (expected["kind"], expected["phase"])
        assert (signal.device, signal.kind_raw) == (expected["device"], expected["kind_raw"])
        assert signal.detail == expected["detail"]
        assert signal.time == (datetime.fromisoformat(expected["time"]) if "time" in expected else None)
    if "reply_opens_to" in row:
        [account] = read_accounts(row["accounts"])[0].values()
        assert opened(answer, account.key or b"") == (row["reply_head"], row["reply_opens_to"])
    else:
        assert answer == (wire(row["reply"]) if row["reply"] else b"")


def test_the_sheets_replies_byte_by_byte() -> None:
    ack, duh, nak = (b"\n" + reply.encode() + b"\r" for reply in VECTORS["replies"])
    assert talk(receiver(), [wire('"NULL"0006L0#4711[]')])[1] == ack
    assert talk(receiver(), [wire('"WHAT"0007L0#4711[]')])[1] == duh
    assert talk(receiver(accounts=ENCRYPTED), [encrypted('"*NULL"0010L0#8A8A[', "]")])[1] == nak


@pytest.mark.parametrize("row", VECTORS["cipher"], ids=lambda row: row["text"])
def test_ciphertexts_of_the_sheet(row: dict[str, str]) -> None:
    assert dc09_cipher.decrypt(bytes.fromhex(row["key"]), row["hex"].encode()) == row["text"].encode()


def test_check_value_of_the_crc() -> None:
    assert crc16(b"123456789") == 0xBB3D


@pytest.mark.parametrize(
    "row", [row for row in FRAMES if row["id"] in ("medical", "encrypted pendant, 128 bits", "receiver, line and text", "wrong key")]
)
def test_generic_checks(row: dict[str, Any]) -> None:
    def new() -> SiaDc09:
        return receiver(accounts=row.get("accounts"))

    frame = b"\n" + row["frame"].encode() + b"\r"
    has_pad = "reply_opens_to" in row
    assert check_fragments(new, frame, answers=not has_pad)
    if not has_pad:
        check_fragments(new, frame + b"\0\0\r\n" + frame.replace(b"0001", b"0002"))
    check_prefixes_wait(new, b"", frame)
    check_flips(new, frame)


def test_two_frames_in_one_segment_have_two_answers() -> None:
    seen, answered = talk(receiver(), [wire(PENDANT) + wire('"NULL"0002L0#4711[]')])
    assert [one[0] for one in seen] == [Kind.SOS, Kind.HEARTBEAT]
    assert answered == wire('"ACK"0001L0#4711[]') + wire('"ACK"0002L0#4711[]')


# --- what is no frame


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (wire(PENDANT).replace(b"1101", b"1102"), "bad_crc"),
        (wire(PENDANT).replace(b"0027", b"0026"), "bad_length"),
        (wire(PENDANT).replace(b"0027", b"0030"), "bad_length"),
        (wire("hello"), "unparsable"),
        (b"\nGET / HTTP/1.1\r\n\n", "unparsable"),
        (wire("x" * 4095)[:-1] + b"yy", "too_long"),
    ],
)
def test_no_frame_is_never_answered_and_the_next_one_is_read(data: bytes, reason: str) -> None:
    codec = receiver()
    seen, answered = talk(codec, [data])
    assert [one[:2] for one in seen] == [("rejected", reason)]
    assert answered == b""
    assert talk(codec, [wire(PENDANT)])[1] == wire('"ACK"0001L0#4711[]')


def test_frame_without_an_end() -> None:
    codec = receiver()
    cut = wire(PENDANT)[:-5]
    assert talk(codec, [cut]) == ([], b"")
    assert codec.deadline() == 11.0
    assert look(codec.handle_deadline(10.9)) == []
    assert look(codec.handle_deadline(11.0)) == [("rejected", "no_cr", cut)]
    assert codec.deadline() is None


def test_sound_frame_behind_one_without_an_end() -> None:
    cut = wire('"SIA-DCS"0005L0#4711[#4711|Nri1/QA005]')[:20]
    seen, answered = talk(receiver(), [cut + wire(PENDANT)])
    assert [one[:2] for one in seen[:1]] == [("rejected", "no_cr")]
    assert answered == wire('"ACK"0001L0#4711[]')


def test_longest_body() -> None:
    body = '"SIA-DCS"0001L0#4711[#4711|NMA005|A' + "x" * (4095 - 36) + "]"
    assert len(body) == 4095
    assert talk(receiver(), [wire(body)])[1] == wire('"ACK"0001L0#4711[]')


def test_a_stranger_is_hung_up_on_but_a_panel_on_a_bad_line_is_not() -> None:
    stranger, panel = receiver(), receiver()
    talk(panel, [wire(PENDANT)])
    for codec in (stranger, panel):
        talk(codec, [b"\nnonsense" * 30])
    assert (stranger.hang_up, panel.hang_up) == (True, False)


# --- answers only for what is kept


def test_nothing_is_sent_when_the_store_fails_and_the_retry_is_the_same_message() -> None:
    codec = receiver()
    [first] = signals(codec, wire(PENDANT))
    codec.refuse(first, "store_down")
    assert codec.data_to_send() == b""
    [again] = signals(codec, wire(PENDANT))
    assert again.dedup == first.dedup
    codec.confirm(again)
    assert codec.data_to_send() == wire('"ACK"0001L0#4711[]')


def test_what_can_never_be_stored_is_answered_duh() -> None:
    codec = receiver()
    [signal] = signals(codec, wire(PENDANT))
    codec.refuse(signal, "unstorable")
    assert codec.data_to_send() == wire('"DUH"0001L0#4711[]')


@pytest.mark.parametrize("refused", [0, 1, 2])
def test_one_answer_when_all_events_of_a_block_are_kept(refused: int) -> None:
    codec = receiver()
    found = signals(codec, wire('"SIA-DCS"0001L0#4711[#4711|Nri1/QA005/YT000/Nri2/TA007]'))
    assert [(one.kind, one.detail["zone"], one.detail["ri"]) for one in found] == [
        (Kind.SOS, "005", "1"),
        (Kind.LOW_BATTERY, "000", "1"),
        (Kind.TAMPER, "007", "2"),
    ]
    assert len({one.dedup for one in found}) == 3
    for one in found[:2]:
        codec.confirm(one)
    assert codec.data_to_send() == b""
    codec.confirm(found[2])
    codec.confirm(found[2])
    assert codec.data_to_send() == wire('"ACK"0001L0#4711[]')
    codec = receiver()
    for index, one in enumerate(signals(codec, wire('"SIA-DCS"0001L0#4711[#4711|Nri1/QA005/YT000/TA007]'))):
        if index == refused:
            codec.refuse(one, "store_down")
        else:
            codec.confirm(one)
    assert codec.data_to_send() == b""


@pytest.mark.parametrize("reason", ["bad_payload", "store_down"])
def test_a_refusal_in_words_needs_its_trace_kept(reason: str) -> None:
    codec = receiver()
    rejected, notice = codec.receive_data(wire('"ADM-CID"0001L0#4711[#4711|2101 01 005]'), 1.0)
    codec.refuse(rejected, reason)  # the verdict on a rejection is its own reason once it is kept
    assert codec.data_to_send() == b"", "the device gives up once it has heard DUH: what people are told must be kept, too"
    codec.confirm(notice)
    assert codec.data_to_send() == (wire('"DUH"0001L0#4711[]') if reason == "bad_payload" else b"")


@pytest.mark.parametrize("accounts", [{}, ENCRYPTED])
def test_a_notice_that_could_not_be_stored_is_told_with_the_retry(accounts: dict[str, Any]) -> None:
    codec = receiver(accounts=accounts)
    frame = wire('"ADM-CID"0001L0#4711[#4711|2101 01 005]') if not accounts else wire(f'"*ADM-CID"0001L0#8A8A[{"00" * 16}')
    for one in codec.receive_data(frame, 1.0):
        codec.refuse(one, "store_down")
    assert codec.data_to_send() == b""
    assert len(codec.receive_data(frame, 6.0)) == 2, "nobody has been told yet"


def test_unreadable_messages_of_one_account_are_told_each_by_itself() -> None:
    codec = receiver()
    for payload in ("2101 01 005", "2102 01 005"):
        assert len(codec.receive_data(wire(f'"ADM-CID"0001L0#4711[#4711|{payload}]'), 1.0)) == 2
    assert len(codec.receive_data(wire('"ADM-CID"0002L0#4711[#4711|2101 01 005]'), 1.0)) == 1, "the same again"


@pytest.mark.parametrize("body", ['"ADM-CID"0001#4711[#4711|1101 01 005]', '"adm-cid"0001L0#4711[#4711|1101 01 005]'])
def test_sound_frame_without_a_readable_header_reaches_an_operator(body: str) -> None:
    seen, answered = talk(receiver(), [wire(body)])
    assert [one[:2] for one in seen] == [("rejected", "unparsable"), (Kind.GENERAL, Phase.RAISE)]
    assert "1101 01 005" in str(seen[1][4])
    assert answered == b""


def test_transmitters_whose_receiver_or_prefix_differ_are_not_the_same() -> None:
    codec = receiver()
    bodies = [PENDANT, PENDANT.replace("L0", "L1"), PENDANT.replace("L0", "R1L0")]
    assert len({signals(codec, wire(body))[0].dedup for body in bodies}) == 3


def test_alarm_without_an_account_in_its_header() -> None:
    [signal] = signals(receiver(), wire('"ADM-CID"0001L0[#4711|1101 01 005]'))
    assert (signal.device, "transmitter" in signal.detail) == ("4711", False)
    assert (signal.dedup or "").startswith(".0001.")


def test_encrypted_text_with_a_bracket_or_a_tab_is_no_wrong_key() -> None:
    for text in ("|#8A8A|Nri1/QA003^Flat 5 [rear] door^]_12:00:00,02-01-2026", "|#8A8A|NQA003][IFlat\t5]_12:00:00,02-01-2026"):
        [signal] = signals(receiver(accounts=ENCRYPTED), encrypted('"*SIA-DCS"0011L0#8A8A[', text))
        assert (signal.kind, signal.time) == (Kind.SOS, NOON)


# --- the same and not the same


def test_same_frame_is_a_duplicate_on_every_connection_of_the_line_for_a_while() -> None:
    clock = [NOON]
    around = replace(place(), utc_now=lambda: clock[0])

    def identity(body: str) -> str | None:
        [signal] = signals(SiaDc09(None, around), wire(body))
        return signal.dedup

    first = identity(PENDANT)
    clock[0] += timedelta(seconds=170)
    assert identity(PENDANT) == first
    assert identity(PENDANT.replace("0001", "0002")) != first, "another number"
    assert identity(PENDANT.replace("1101", "3101")) != first, "other data"
    assert identity(PENDANT.replace("4711", "4712")) != first, "another account"
    clock[0] += timedelta(seconds=11)
    assert identity(PENDANT) != first, "a new press of a device that always counts the same"


def test_encrypted_repetition_with_another_pad_is_the_same_message() -> None:
    codec = receiver(accounts=ENCRYPTED)
    text = "|#8A8A|1101 00 003]_12:00:00,02-01-2026"
    [first] = signals(codec, encrypted('"*ADM-CID"0011L0#8A8A[', text))
    padded = b"y" * (16 - len(text) % 16) + text.encode()
    cipher = Cipher(algorithms.AES(KEY), modes.CBC(bytes(16))).encryptor()
    [second] = signals(codec, wire(b'"*ADM-CID"0011L0#8A8A[' + (cipher.update(padded) + cipher.finalize()).hex().upper().encode()))
    assert first.raw != second.raw
    assert first.dedup == second.dedup


def test_signs_of_life_crowd_no_memory() -> None:
    [signal] = signals(receiver(), wire('"NULL"0006L0#4711[]'))
    assert signal.dedup is None


# --- time


@pytest.mark.parametrize(("seconds", "fits"), [(-41, False), (-40, True), (0, True), (20, True), (21, False)])
def test_window_of_encrypted_frames(seconds: int, fits: bool) -> None:
    told = (NOON + timedelta(seconds=seconds)).strftime("_%H:%M:%S,%m-%d-%Y")
    seen, answered = talk(receiver(accounts=ENCRYPTED), [encrypted('"*NULL"0010L0#8A8A[', f"]{told}")])
    assert seen[0][0] == (Kind.HEARTBEAT if fits else "rejected")
    assert (answered == wire('"NAK"0000R0L0A0[]_12:00:00,02-01-2026')) is not fits


def test_window_of_one_account() -> None:
    account = {"8A8A": {"key": KEY.hex(), "window_s": [-3600, 3600]}}
    seen, _ = talk(receiver(accounts=account), [encrypted('"*NULL"0010L0#8A8A[', "]_12:59:00,02-01-2026")])
    assert seen[0][0] is Kind.HEARTBEAT


def test_plain_alarm_is_taken_whatever_its_time() -> None:
    for told, detail in (("_11:00:00,02-01-2026", {"timestamp_stale": True}), ("_99:00:00,02-01-2026", {"time_text": "_99:00:00,02-01-2026"})):
        [signal] = signals(receiver(), wire(PENDANT + told))
        assert signal.kind is Kind.SOS
        assert detail.items() <= signal.detail.items()


def test_time_of_the_occurrence_goes_before_that_of_the_message() -> None:
    [signal] = signals(receiver(), wire(PENDANT + "[H_11:58:30,02-01-2026]_12:00:00,02-01-2026"))
    assert signal.time == NOON - timedelta(seconds=90)


def test_a_clock_that_stays_wrong_is_told_once() -> None:
    codec = receiver(accounts=ENCRYPTED)
    stale = encrypted('"*NULL"0010L0#8A8A[', "]_10:00:00,02-01-2026")
    told = [[one.kind_raw for one in codec.receive_data(stale, 1.0) if isinstance(one, Signal)] for _ in range(5)]
    assert told == [[], [], ["stale_timestamp"], [], []]


# --- keys


@pytest.mark.parametrize("accounts", [{}, {"8A8A": {}}, {"8A8A": {"key": "ff" * 16}}, {"8A8A": {"key": "ff" * 32}}])
def test_what_cannot_be_read_is_never_answered_and_told_once_in_ten_minutes(accounts: dict[str, Any]) -> None:
    clock = [NOON]
    codec = SiaDc09(None, replace(place(accounts=accounts), utc_now=lambda: clock[0]))
    frame = b"\n" + next(row["frame"] for row in FRAMES if row["id"] == "encrypted pendant, 128 bits").encode() + b"\r"
    seen, answered = talk(codec, [frame, frame])
    assert [one[:2] for one in seen] == [("rejected", "wrong_key"), (Kind.FAULT, Phase.RAISE), ("rejected", "wrong_key")]
    assert answered == b""
    clock[0] += timedelta(seconds=601)
    assert talk(codec, [frame])[0][1][3] == "wrong_key"


@pytest.mark.parametrize("digits", ["", "AB", "ABCDEFGH" * 4, "00" * 15, "00" * 17])
def test_no_ciphertext_at_all(digits: str) -> None:
    seen, answered = talk(receiver(accounts=ENCRYPTED), [wire(f'"*ADM-CID"0011L0#8A8A[{digits}')])
    assert (seen[0][1], answered) == ("wrong_key", b"")


def test_invented_accounts_do_not_fill_the_desk() -> None:
    codec = receiver()
    seen, _ = talk(codec, [encrypted(f'"*NULL"0001L0#{number:04}[', "]") for number in range(100)])
    assert sum(one[0] is Kind.FAULT for one in seen) == 20
    assert sum(one[0] == "rejected" for one in seen) == 100


def test_plain_frame_of_an_account_that_must_encrypt() -> None:
    codec = receiver(accounts={"4711": {"key": KEY.hex(), "must_encrypt": True}})
    alarm, notice = signals(codec, wire(PENDANT))
    assert (alarm.kind, alarm.integrity, alarm.detail["plain_not_allowed"]) == (Kind.SOS, "unverified", True)
    assert (notice.kind, notice.kind_raw) == (Kind.FAULT, "plain_not_allowed")
    codec.confirm(alarm)
    codec.confirm(notice)
    assert codec.data_to_send() == wire('"DUH"0001L0#4711[]')
    seen, answered = talk(codec, [wire('"NULL"0002L0#4711[]')])
    assert [one[:2] for one in seen] == [("rejected", "plain_not_allowed")], "a forged sign of life would hide a dead device"
    assert answered == wire('"DUH"0002L0#4711[]')


def test_encrypted_alarm_of_that_account() -> None:
    codec = receiver(accounts={"8A8A": {"key": KEY.hex(), "must_encrypt": True}})
    [alarm] = signals(codec, encrypted('"*ADM-CID"0011L0#8A8A[', "|#8A8A|1101 00 003]_12:00:00,02-01-2026"))
    codec.confirm(alarm)
    assert opened(codec.data_to_send(), KEY) == ('"*ACK"0011L0#8A8A[', "]_12:00:00,02-01-2026")


def test_keys_are_in_no_repr_and_no_error() -> None:
    secret = "00112233445566778899aabbccddeeff"
    accounts, _ = read_accounts({"8A8A": {"key": secret}})
    options = Dc09Options(accounts={"8A8A": {"key": secret}})
    for shown in (repr(accounts), repr(options), str(options)):
        assert secret not in shown
        assert repr(bytes.fromhex(secret)) not in shown
    for wrong in ({"key": secret[:-1]}, {"key": secret + "zz"}, {"key_text": secret + "x"}, {"key": secret, "key_text": secret}):
        _, problems = read_accounts({"8A8A": wrong}, "accounts.toml: ")
        assert problems
        assert problems[0].startswith("accounts.toml: 8A8A.key")
        assert secret[:8] not in problems[0]


# --- accounts


@pytest.mark.parametrize(("strict", "answer", "kinds"), [(False, "ACK", [Kind.SOS]), (True, "DUH", [Kind.FAULT])])
def test_unknown_account(strict: bool, answer: str, kinds: list[Kind]) -> None:
    codec = receiver(options=Dc09Options(strict=strict), knows=lambda _address: False)
    found = codec.receive_data(wire(PENDANT), 1.0)
    assert [one.kind for one in found if isinstance(one, Signal)] == kinds
    if not strict:
        assert isinstance(found[0], Signal)
        assert found[0].detail["unknown_account"] is True
        assert found[0].integrity == "unverified"
    for one in found:
        codec.confirm(one)
    assert codec.data_to_send() == wire(f'"{answer}"0001L0#4711[]')


@pytest.mark.parametrize("known", ["4711", "4711:005"])
def test_account_is_known_by_itself_or_by_its_zone(known: str) -> None:
    codec = receiver(options=Dc09Options(strict=True), knows=known.__eq__)
    assert [one.kind for one in signals(codec, wire(PENDANT))] == [Kind.SOS]


def test_accounts_are_the_same_in_small_letters() -> None:
    body = '"ADM-CID"0001L0#c0fe[#c0fe|1101 01 005]'
    for known, device in (("C0FE", "C0FE"), ("c0fe", "c0fe")):
        [signal] = signals(receiver(knows=known.__eq__), wire(body))
        assert (signal.device, "unknown_account" in signal.detail) == (device, False)
    assert talk(receiver(), [wire(body)])[1] == wire('"ACK"0001L0#c0fe[]')


def test_inner_account_is_the_subscribers() -> None:
    [signal] = signals(receiver(), wire('"ADM-CID"0001L0#9000[#4711|1101 01 005]'))
    assert (signal.device, signal.detail["transmitter"]) == ("4711", "9000")
    [signal] = signals(receiver(), wire('"ADM-CID"0001L0#9000[|1102 00 000]'))
    assert (signal.device, signal.kind) == ("9000", Kind.MISSED_CHECKIN)


def test_rules_of_one_account() -> None:
    codec = receiver(accounts={"4711": {"dialect": "vesta", "zones": {"007": "smoke"}}, "8A8A": {}})
    kinds = [
        signals(codec, wire(f'"ADM-CID"0001L0#{account}[#{account}|1102 00 {zone}]'))[0].kind
        for account, zone in (("4711", "001"), ("4711", "007"), ("8A8A", "007"))
    ]
    assert kinds == [Kind.FALL, Kind.SMOKE, Kind.MISSED_CHECKIN]


# --- content


@pytest.mark.parametrize(
    "body",
    [
        '"ADM-CID"0001L0#4711[#4711|2101 01 005]',
        '"ADM-CID"0001L0#4711[#4711|E101 01 005]',
        '"ADM-CID"0001L0#4711[#4711|1101 1 005]',
        '"ADM-CID"0001L0#4711[#4711|1101 01 0005]',
        '"ADM-CID"0001L0#4711[]',
        '"SIA-DCS"0001L0#4711[#4711|N]',
        '"SIA-DCS"0001L0#4711[#4711|Nri1',
        '"ADM-41E"0001L0#4711[#4711|whatever]',
    ],
)
def test_sound_frame_that_cannot_be_used(body: str) -> None:
    codec = receiver()
    seen, answered = talk(codec, [wire(body)])
    assert [one[0] for one in seen] == ["rejected", Kind.GENERAL], "it may be an alarm"
    assert answered == wire('"DUH"0001L0#4711[]')


def test_unknown_codes_are_never_dropped() -> None:
    for payload, kind, name in (("1199 01 005", Kind.GENERAL, "unknown code 199"), ("1699 01 005", Kind.TEST, "unknown code 699")):
        [signal] = signals(receiver(), wire(f'"ADM-CID"0001L0#4711[#4711|{payload}]'))
        assert (signal.kind, signal.detail["event"]) == (kind, name)
    [signal] = signals(receiver(), wire('"SIA-DCS"0001L0#4711[#4711|NQQ005]'))
    assert (signal.kind, signal.detail["event"]) == (Kind.GENERAL, "unknown code QQ")


def test_texts_are_utf8_or_windows_1252() -> None:
    for octets, text in (("拱墅 1 号".encode(), "拱墅 1 号"), ("Küche".encode("cp1252"), "Küche")):
        [signal] = signals(receiver(), wire(b'"SIA-DCS"0001L0#4711[#4711|NFA005][I' + octets + b"]"))
        assert signal.detail["text"] == text


@pytest.mark.parametrize(
    ("extended", "position"),
    [
        (("X120E09.306", "Y30N16.446"), (30.2741, 120.1551)),
        (("X093W23.456", "Y45S23.456"), (-45.3909333, -93.3909333)),
        (("X120.1551", "Y30.2741"), (30.2741, 120.1551)),
        (("X115000", "X115000"), (None, None)),
        (("X120E09.306",), (None, None)),
        (("X120E61.000", "Y30N16.446"), (None, None)),
        (("X190.5", "Y30.2741"), (None, None)),
        (("X120.1551", "X121.0", "Y30.2741"), (None, None)),
    ],
)
def test_positions_only_where_they_are_plausible(extended: tuple[str, ...], position: tuple[float | None, float | None]) -> None:
    extras = read_extended(extended)
    assert (extras.lat, extras.lon) == position
    assert extras.detail.get("extended", []) == ([] if position[0] is not None else sorted(extended, key=extended.index))


def test_other_extended_data() -> None:
    extras = read_extended(("MAABBCCDDEEFF", "Vhttps://camera.example/1", "K0011", "Z12.3M", "Hlater", "Qodd", ""))
    assert extras.detail == {
        "mac": "AABBCCDDEEFF",
        "verification": "https://camera.example/1",
        "key_request": True,
        "extended": ["Z12.3M", "Hlater", "Qodd", ""],
    }


@pytest.mark.parametrize(
    ("text", "events"),
    [
        ("Nri2/MA003", [("MA", "003", {"ri": "2"}, ())]),
        ("MA003", [("MA", "003", {}, ())]),
        ("NA005", [("NA", "005", {}, ())]),
        ("NNA005", [("NA", "005", {}, ())]),
        (
            "NFA12/NQA13/NNA/NA14/Nri2/MA1",
            [("FA", "12", {}, ()), ("QA", "13", {}, ()), ("NA", "", {}, ()), ("NA", "14", {}, ()), ("MA", "1", {"ri": "2"}, ())],
        ),
        (
            "Nti10:30:15/id7/ri1/OP7/ri2/CL7",
            [("OP", "7", {"ti": "10:30:15", "id": "7", "ri": "1"}, ()), ("CL", "7", {"ti": "10:30:15", "id": "7", "ri": "2"}, ())],
        ),
        ("Nri1id5OP", [("OP", "", {"ri": "1", "id": "5"}, ())]),
        ("NRP000*'DEMO'NM", [("RP", "000", {}, ("DEMO",))]),
        ('NRP000*"DEMO"NM', [("RP", "000", {}, ("DEMO",))]),
        ("Nri1/BA1^Front / back^|Amore", [("BA", "1", {"ri": "1"}, ("Front / back", "more"))]),
        ("hello", []),
        ("", []),
    ],
)
def test_blocks(text: str, events: list[Any]) -> None:
    assert [tuple(event) for event in read_block(text).events] == events


def test_old_events_are_marked_and_still_heard() -> None:
    [signal] = signals(receiver(), wire('"SIA-DCS"0001L0#4711[#4711|OMA005]'))
    assert (signal.kind, signal.late, signal.detail["old"]) == (Kind.MEDICAL, None, True)


# --- fuzz

WIRES = [b"\n" + row["frame"].encode() + b"\r" for row in FRAMES]


def every_account() -> SiaDc09:
    accounts = {name: table for row in FRAMES for name, table in row.get("accounts", {}).items()}
    return receiver(accounts=accounts, options=Dc09Options(window_s=(-1e9, 1e9)))


def test_ten_thousand_mutated_frames() -> None:
    seen = fuzz(every_account, WIRES, 10_000, seed=907)
    assert {"sos", "heartbeat", "bad_crc", "bad_length", "no_cr", "unparsable", "wrong_key", "unknown_token"} <= set(seen)
    assert {name for name in seen if name not in Kind.__members__.values()} <= set(REASONS)


@pytest.mark.campaign
def test_a_million_mutated_frames() -> None:
    fuzz(every_account, WIRES, 1_000_000, seed=908)


def test_timers_end() -> None:
    codec = every_account()
    talk(codec, [b"\n1234\n\n12345678\n" * 20 + b"\n0000"])
    run_out(codec, 1.0)
    assert codec.deadline() is None
