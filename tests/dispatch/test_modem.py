"""Orders as short messages through a GSM modem: a whole gateway, a real serial line (pseudo-terminal), the simulated modem (TS 27.005)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from waiting import wait_until

from gateway.app import House
from gateway.dispatch.order_words import code_of
from gateway.event import Kind
from simulators.gsm_modem import GsmModem, Quirks
from simulators.pseudo_terminal import PseudoTerminal
from tests.dispatch.text_house import CENTRE, STATION, cries, elders, gateway, legs


@contextlib.asynccontextmanager
async def modem_house(
    folder: Path, quirks: Quirks | None = None, options: str = "", language: str = "zh-CN"
) -> AsyncIterator[tuple[House, GsmModem]]:
    terminal = PseudoTerminal(folder / "modem0")
    terminal.plug()
    modem = GsmModem(terminal, quirks)
    running = asyncio.create_task(modem.run())
    settings = (
        '[dispatch.modem]\nline = "modem"\nper_minute = 6000\n'
        f'[[line]]\nname = "modem"\ncodec = "gsm_modem"\nlisten = "serial:{terminal.link}:baudrate=115200"\n[line.options]\n{options}'
    )
    try:
        async with gateway(folder, "modem", settings, language=language) as house:
            yield house, modem
    finally:
        running.cancel()
        terminal.unplug()


def code(house: House, leg: int = 0) -> str:
    return code_of(elders(house).legs[leg].delivery)


@pytest.mark.parametrize(
    "quirks",
    [
        Quirks(),
        Quirks(echo=False),
        Quirks(stubborn_echo=True, pieces=1),
        Quirks(prompt_s=0.2, answer_s=0.02),
        Quirks(garbage=b"\xff\x00\x1a\r\nRING\r\n"),
        Quirks(chatter=True),
    ],
    ids=["plain", "no echo", "echo that stays, in pieces", "slow", "garbage", "chatter"],
)
async def test_from_the_order_to_done(tmp_path: Path, quirks: Quirks) -> None:
    async with modem_house(tmp_path, quirks) as (house, modem):
        await cries(house)
        await wait_until(lambda: legs(house) == [("station", "sent")], "the station has the text")
        incident, four = elders(house), code(house)
        age = incident.legs[0].ordered_at.year - 1940
        text = f"【12349】SOS 求助 {incident.id}：王秀兰，{age}岁，红古路12号。回复：1 {four} 接受，2 {four} 拒绝，3 {four} 到达，4 {four} 完成"
        assert modem.texts() == [(STATION, text)]
        assert len(modem.sent) == 2, "longer than 70 characters"
        for answer, state in ((f"1 {four}", "accepted"), (f"3{four}", "arrived"), (f"{four} 完成", "done")):
            modem.receive("17400000001" if state == "arrived" else STATION, answer)
            await wait_until(lambda state=state: legs(house) == [("station", state)], answer)
        await wait_until(lambda: not modem.card, "what is stored is deleted")
        assert [kind for kind in (one.kind for one in house.incidents.values()) if kind is Kind.HELP] == []


async def test_in_english(tmp_path: Path) -> None:
    async with modem_house(tmp_path, language="en") as (house, modem):
        await cries(house)
        await wait_until(lambda: legs(house) == [("station", "sent")], "the station has the text")
        ((_, text),) = modem.texts()
        assert f"Reply 1 {code(house)} accept" in text


async def test_refused_for_good_the_next_one_up_is_asked_and_refused_for_now_it_is_tried_again(tmp_path: Path) -> None:
    quirks = Quirks()
    quirks.errors.extend((500, 1))  # unknown error; then: unassigned number
    async with modem_house(tmp_path, quirks) as (house, modem):
        await cries(house)
        await wait_until(lambda: legs(house) == [("station", "failed"), ("centre", "sent")], "the centre is asked")
        assert elders(house).legs[0].reason == "cms_1"
        assert [number for number, _ in modem.texts()] == [CENTRE]


async def test_taken_by_the_network_and_never_delivered(tmp_path: Path) -> None:
    """The report comes seconds later: the order fails as if it had been refused at once."""
    quirks = Quirks()
    quirks.fates.extend((0x45, 0x45))  # service rejected, permanent (TS 23.040, 9.2.3.15)
    async with modem_house(tmp_path, quirks) as (house, _):
        await cries(house)
        await wait_until(lambda: legs(house) == [("station", "failed"), ("centre", "sent")], "the centre is asked")
        assert elders(house).legs[0].reason == "undelivered"


async def test_no_network_and_then_there_is_one(tmp_path: Path) -> None:
    quirks = Quirks(network=False)
    async with modem_house(tmp_path, quirks) as (house, modem):
        await cries(house)
        await wait_until(lambda: house.metrics.orders.labels("modem", "retried")._value.get() >= 1, "the order waits")
        assert legs(house) == [("station", "queued")]
        quirks.network = True
        modem.say(b"\r\n+CREG: 1\r\n")
        await wait_until(lambda: legs(house) == [("station", "sent")], "it leaves")


async def test_unplugged_and_plugged_in_again(tmp_path: Path) -> None:
    async with modem_house(tmp_path) as (house, modem):
        await wait_until(lambda: "AT+CMGL=4" in modem.commands, "it is ready")
        modem.terminal.unplug()
        await wait_until(lambda: not house.lines["modem"].is_live, "the line is lost")
        await cries(house)
        await wait_until(lambda: house.metrics.orders.labels("modem", "retried")._value.get() >= 1, "the order waits")
        modem.terminal.plug()
        await wait_until(lambda: legs(house) == [("station", "sent")], "it leaves")
        modem.receive(STATION, f"1 {code(house)}")
        await wait_until(lambda: legs(house) == [("station", "accepted")], "answers are heard again")


async def test_a_wrong_code_changes_nothing_and_is_told_once(tmp_path: Path) -> None:
    async with modem_house(tmp_path) as (house, modem):
        await cries(house)
        await wait_until(lambda: legs(house) == [("station", "sent")], "the station has the text")
        wrong = f"{(int(code(house)) + 1) % 10_000:04}"
        for answer in (f"1 {wrong}", f"2 {wrong}."):
            modem.receive(STATION, answer)
            await wait_until(lambda: not modem.card, "it was read")
        await wait_until(lambda: len(modem.texts()) == 2, "the hint")
        assert modem.texts()[1] == (STATION, "【12349】没有这个编码的派单，请核对派单短信中的四位数字。需要帮助请拨打 12349")
        assert legs(house) == [("station", "sent")]
        rejected = house.metrics.books("modem").rejected
        assert rejected == {"unknown_code": 2}


async def test_texts_of_strangers_are_read_by_a_person_and_cannot_answer(tmp_path: Path) -> None:
    async with modem_house(tmp_path) as (house, modem):
        await cries(house)
        await wait_until(lambda: legs(house) == [("station", "sent")], "the station has the text")
        modem.receive("+8617400000009", f"1 {code(house)}")
        modem.receive("+8617400000009", "我摔倒了，" + "请快来。" * 30, backwards=True)
        modem.receive("1069012345", "优惠")
        await wait_until(lambda: not modem.card, "all were read")
        assert legs(house) == [("station", "sent")]
        strangers = [one for one in house.incidents.values() if one.kind is Kind.HELP]
        assert [one.entries for one in strangers] == [2], "two texts of one number are one matter; the advertisement is none"


async def test_without_a_code_only_where_one_order_can_be_meant(tmp_path: Path) -> None:
    async with modem_house(tmp_path) as (house, modem):
        await cries(house)
        await wait_until(lambda: legs(house) == [("station", "sent")], "the station has the text")
        modem.receive(STATION, "接受")
        await wait_until(lambda: legs(house) == [("station", "accepted")], "one order, one meaning")


async def test_the_card_is_unlocked_with_the_pin_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "pin").write_text("4711\n")
    async with modem_house(tmp_path, Quirks(pin="4711"), 'pin_file = "pin"\n') as (house, modem):
        await cries(house)
        await wait_until(lambda: legs(house) == [("station", "sent")], "the station has the text")
        assert modem.pins == ["4711"]
