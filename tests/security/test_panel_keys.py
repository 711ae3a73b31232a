"""DC-09 keys changed over while panels go on calling: two count at once, the first message with the next one is journalled, the old one ends."""

import asyncio
import os
import stat
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest
from waiting import free_port, wait_until

from drivers.contract import STORED, Rejected, Signal, Surroundings, Verdict
from drivers.panel.accounts import read_accounts, read_accounts_file
from drivers.panel.sia_dc09 import SiaDc09
from drivers.registry import build_line
from gateway.cli import main
from gateway.config import CallsConfig, LineConfig
from gateway.event import Event, Kind, Phase
from gateway.panel_keys import OLD_DAYS, ages
from tests.core.room import Room
from tests.panel.test_sia_dc09 import KEY, encrypted, opened, receiver, signals

NEXT = bytes(range(16, 32))
STRANGE = bytes(range(32, 48))
BOTH = {"8A8A": {"key": KEY.hex(), "key_next": NEXT.hex(), "must_encrypt": True}}


def alarm(number: int, key: bytes) -> bytes:
    return encrypted(f'"*ADM-CID"{number:04}L0#8A8A[', "|#8A8A|1101 00 003]_12:00:00,02-01-2026", key)


def life(number: int, key: bytes) -> bytes:
    return encrypted(f'"*NULL"{number:04}L0#8A8A[', "]_12:00:00,02-01-2026", key)


def answered(codec: SiaDc09, found: Sequence[Signal]) -> bytes:
    for one in found:
        codec.confirm(one)
    return codec.data_to_send()


# --- the codec


def test_both_keys_count_and_each_is_answered_with_its_own() -> None:
    codec = receiver(accounts=BOTH)
    for number, key in ((1, KEY), (2, NEXT)):
        found = signals(codec, alarm(number, key))
        assert (found[0].kind, found[0].integrity) == (Kind.SOS, "verified")
        assert opened(answered(codec, found), key)[0] == f'"*ACK"{number:04}L0#8A8A['


def test_the_change_is_a_fact_of_the_journal_and_told_once() -> None:
    codec = receiver(accounts=BOTH)
    assert [one.kind for one in signals(codec, life(1, KEY))] == [Kind.HEARTBEAT]
    life_sign, fact = signals(codec, life(2, NEXT))
    assert life_sign.kind is Kind.HEARTBEAT
    assert (fact.kind, fact.phase, fact.kind_raw, fact.device) == (Kind.FAULT, Phase.STATE, "key_changed", "8A8A")
    assert [one.kind for one in signals(codec, life(3, NEXT))] == [Kind.HEARTBEAT]


def test_the_core_keeps_the_change_and_troubles_nobody() -> None:
    room = Room()
    assert room.event(Kind.FAULT, "8A8A", line="panels", phase=Phase.STATE, kind_raw="key_changed") == "stored"
    assert [one.kind for one in room.records] == [Kind.FAULT]
    assert not room.working.incidents


def test_a_cry_with_the_old_key_after_the_change_is_heard_and_doubted() -> None:
    """A second path of the panel may have been forgotten: an alarm is never lost for that; people are told that it may be forged."""
    codec = receiver(accounts=BOTH)
    signals(codec, life(1, NEXT))
    cry, notice = signals(codec, alarm(2, KEY))
    assert (cry.kind, cry.integrity, cry.detail["old_key"]) == (Kind.SOS, "unverified", True)
    assert (notice.kind, notice.phase, notice.kind_raw) == (Kind.FAULT, Phase.RAISE, "old_key")
    assert opened(answered(codec, [cry, notice]), KEY)[0] == '"*ACK"0002L0#8A8A['


def test_a_sign_of_life_with_the_old_key_after_the_change_counts_no_more() -> None:
    """Whoever found the old key could hide a device that is dead."""
    codec = receiver(accounts=BOTH)
    signals(codec, life(1, NEXT))
    found = codec.receive_data(life(2, KEY), 1.0)
    assert [one.reason for one in found if isinstance(one, Rejected)] == ["old_key"]
    assert not [one for one in found if isinstance(one, Signal) and one.kind is Kind.HEARTBEAT]


def test_a_replay_under_the_next_key_changes_nothing() -> None:
    """A recorded message is outside the window: it is refused, and the key in use stays the one in use."""
    codec = receiver(accounts=BOTH)
    stale = encrypted('"*NULL"0001L0#8A8A[', "]_10:00:00,02-01-2026", NEXT)
    assert [one.reason for one in codec.receive_data(stale, 1.0) if isinstance(one, Rejected)] == ["stale_timestamp"]
    [cry] = signals(codec, alarm(2, KEY))
    assert cry.integrity == "verified"


def test_a_third_key_fits_nothing() -> None:
    found = receiver(accounts=BOTH).receive_data(alarm(1, STRANGE), 1.0)
    assert [one.reason for one in found if isinstance(one, Rejected)] == ["wrong_key"]


def test_once_settled_the_old_key_is_a_wrong_key() -> None:
    codec = receiver(accounts={"8A8A": {"key": NEXT.hex()}})
    assert [one.reason for one in codec.receive_data(alarm(1, KEY), 1.0) if isinstance(one, Rejected)] == ["wrong_key"]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"key_next": NEXT.hex()}, "8A8A.key_next: stands without a key; call it key"),
        ({"key": KEY.hex(), "key_next": KEY.hex()}, "8A8A.key_next: is the key itself"),
        ({"key": KEY.hex(), "key_next": "12"}, "8A8A.key_next: has 2 hex digits; write 32, 48 or 64"),
        ({"key": KEY.hex(), "key_next": NEXT.hex(), "key_next_text": "x" * 16}, "8A8A.key_next: stands beside key_next_text"),
    ],
)
def test_what_cannot_be_used_is_named_and_no_key_is_shown(table: dict[str, object], words: str) -> None:
    accounts, problems = read_accounts({"8A8A": table}, "")
    assert any(problem.startswith(words) for problem in problems)
    assert KEY.hex() not in repr(accounts) + "".join(problems)
    assert NEXT.hex() not in repr(accounts) + "".join(problems)


# --- the command

FILE = f"""# ours
[4711]
key = "{KEY.hex()}"          # of the demo
since = 2020-01-01

[8A8A]
key = "{NEXT.hex()}"
must_encrypt = true
[4F39]
decimal_length = true
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "districts" / "honggu").mkdir(parents=True)
    (tmp_path / "accounts.toml").write_text(FILE)
    (tmp_path / "gateway.toml").write_text(
        '[[line]]\nname = "panels"\ncodec = "sia_dc09"\nlisten = "tcp:1"\noptions = { accounts_file = "accounts.toml" }\n'
    )
    return tmp_path


def run(place: Path, *words: str) -> int:
    return main(["panel-keys", *words, "--config", str(place / "gateway.toml")])


def test_old_keys_are_listed_and_none_is_shown(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(place) == 1
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert lines[0] == "accounts.toml\t8A8A\tage unknown, write since = YYYY-MM-DD"
    assert lines[1].startswith("accounts.toml\t4711\t")
    assert lines[1].endswith(" days, OLD")
    assert "4F39" not in out, "it has no key"
    assert KEY.hex() not in out
    assert NEXT.hex() not in out


def test_a_key_is_made_written_and_settled_in_the_file_alone(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = place / "accounts.toml"
    assert run(place, "new", "4711") == 0
    accounts, problems = read_accounts_file(file.read_text(), "x")
    assert problems == []
    fresh = accounts["4711"].key_next
    assert fresh is not None
    assert (accounts["4711"].key, len(fresh)) == (KEY, 16)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert run(place, "new", "4711") == 1, "one change at a time"

    assert run(place, "settle", "4711") == 0
    accounts, _ = read_accounts_file(file.read_text(), "x")
    assert (accounts["4711"].key, accounts["4711"].key_next) == (fresh, None)
    assert accounts["4711"].since is not None
    assert (date.today() - accounts["4711"].since).days in (-1, 0, 1)
    assert file.read_text().startswith("# ours\n[4711]\n")
    assert (accounts["8A8A"].key, accounts["4F39"].decimal_length) == (NEXT, True)
    out = capsys.readouterr()
    assert fresh.hex() not in out.out + out.err


def test_who_is_not_there_is_told(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(place, "new", "9999") == 1
    assert "9999 is in no file" in capsys.readouterr().err
    assert run(place, "settle", "8A8A") == 1
    assert "gateway panel-keys new 8A8A" in capsys.readouterr().err


def test_a_file_written_otherwise_is_left_alone(place: Path) -> None:
    file = place / "accounts.toml"
    file.write_text(f'4711 = {{ key = "{KEY.hex()}" }}\n')
    assert run(place, "new", "4711") == 1
    assert file.read_text() == f'4711 = {{ key = "{KEY.hex()}" }}\n'


def test_ages() -> None:
    accounts, _ = read_accounts(
        {"1": {"key": KEY.hex(), "since": date(2026, 1, 1)}, "2": {"key": KEY.hex(), "since": date(2020, 1, 1)}, "3": {"key": KEY.hex()}, "4": {}}
    )
    found = ages(accounts, date(2026, 1, 31))
    assert [(one.account, one.days, one.is_old) for one in found] == [("3", None, True), ("2", 2222, True), ("1", 30, False)]
    assert OLD_DAYS == 730


# --- a running line


async def test_a_changed_file_counts_from_the_next_connection_on(tmp_path: Path) -> None:
    file = tmp_path / "accounts.toml"
    file.write_text(f'[8A8A]\nkey = "{KEY.hex()}"\n')
    port = free_port()
    # the window is wide: the frames below are of a fixed day
    options = {"accounts_file": str(file), "window_s": [-86400 * 30000, 86400 * 30000]}
    line = build_line(
        LineConfig(name="panels", codec="sia_dc09", listen=f"tcp:{port}:interface=127.0.0.1", options=options),
        CallsConfig(),
        (),
        Surroundings(line="panels"),
    )
    kept: list[Event | Rejected] = []

    async def emit(events: Sequence[Event | Rejected]) -> Sequence[Verdict]:
        kept.extend(events)
        return [STORED] * len(events)

    class Quiet:
        def live(self) -> None: ...
        def heard(self) -> None: ...
        def suspect(self, reason: str) -> None: ...

    async def says(data: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        before = len(kept)
        await wait_until(lambda: len(kept) > before, "something is kept")
        writer.close()
        del reader

    task = asyncio.create_task(line.run(emit, Quiet()))
    try:
        await wait_until(lambda: line.port is not None, "it listens")
        await says(alarm(1, NEXT))
        assert [one.reason for one in kept if isinstance(one, Rejected)] == ["wrong_key"]
        kept.clear()
        file.write_text("[8A8A]\nkey = half")  # somebody is still writing: what was known stays in force
        await says(alarm(2, KEY))
        assert [one.kind for one in kept if isinstance(one, Event)] == [Kind.SOS]
        kept.clear()
        file.write_text(f'[8A8A]\nkey = "{KEY.hex()}"\nkey_next = "{NEXT.hex()}"\n')
        os.utime(file, ns=(1, 1))
        await says(alarm(3, NEXT))
        assert [(one.kind, one.phase) for one in kept if isinstance(one, Event)] == [(Kind.SOS, Phase.RAISE), (Kind.FAULT, Phase.STATE)]
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
