"""The gateway's telephone: its limits, how numbers are dialled, and orders that are answered by a key press."""

import asyncio

import msgspec
import pytest
from waiting import wait_until

from drivers.telephone import Dial, HangUp, Ring, Told, Wish
from gateway.config import PhoneChannelConfig, TelephoneConfig
from gateway.dispatch.contract import DeliveryError, Order
from gateway.dispatch.phone import PhoneChannel
from gateway.errors import Refused
from gateway.telephone import Telephone, as_dialled

NUMBER = "+8617400000001"


class Exchange:
    """Rings until told what came of it; `wishes` in the order they arrived."""

    name = "pbx"

    def __init__(self) -> None:
        self.wishes: list[Wish] = []
        self.ended: list[asyncio.Future[Told]] = []

    async def ask(self, wish: Wish) -> Told:
        self.wishes.append(wish)
        self.ended.append(asyncio.get_running_loop().create_future())
        return await self.ended[-1]

    def end(self, outcome: str = "done", key: str = "1") -> None:
        next(one for one in self.ended if not one.done()).set_result(Told(outcome=outcome, key=key))


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def telephone(exchange: Exchange | None, clock: Clock | None = None, **limits: int) -> Telephone:
    return Telephone(TelephoneConfig(line="pbx", **limits), "12349", lambda: exchange, clock or Clock())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("number", "dialled"),
    [
        ("+8613812341204", "13812341204"),
        ("+869318412345", "09318412345"),
        ("+861062501234", "01062501234"),
        ("+85221234567", "0085221234567"),
        ("8001", "8001"),
        ("4001234567", "4001234567"),
    ],
)
def test_numbers_are_dialled_as_in_china(number: str, dialled: str) -> None:
    assert as_dialled(number) == dialled


def test_an_outside_prefix_goes_before_outside_numbers_only() -> None:
    assert (as_dialled("+8613812341204", "9"), as_dialled("8001", "9")) == ("913812341204", "8001")


async def test_an_operator_is_connected_and_the_hotline_shown() -> None:
    exchange = Exchange()
    dialling = asyncio.create_task(telephone(exchange).dial("8001", NUMBER))
    await settle()
    [wish] = exchange.wishes
    assert isinstance(wish, Dial)
    assert (wish.agent, wish.number, wish.shown) == ("8001", "17400000001", "12349")
    exchange.end()
    assert (await dialling).is_done


async def test_a_storm_of_dialling_is_stopped_at_once_for_who_waits_at_a_screen() -> None:
    exchange, clock = Exchange(), Clock()
    phone = telephone(exchange, clock, dials_per_minute=3, at_once=2)
    running = [asyncio.create_task(phone.dial("8001", NUMBER)) for _ in range(2)]
    await settle()
    with pytest.raises(Refused, match="dial_limit"):  # two at once
        await phone.dial("8001", NUMBER)
    exchange.end()
    exchange.end()
    await asyncio.gather(*running)
    running = [asyncio.create_task(phone.dial("8001", NUMBER))]
    await settle()
    exchange.end()
    await asyncio.gather(*running)
    with pytest.raises(Refused, match="dial_limit"):  # three a minute
        await phone.dial("8001", NUMBER)
    clock.now += 60
    running = [asyncio.create_task(phone.dial("8001", NUMBER))]
    await settle()
    exchange.end()
    assert (await running[0]).is_done


async def test_a_hundred_orders_at_once_wait_for_their_turn_and_none_is_lost() -> None:
    exchange = Exchange()
    phone = telephone(exchange, dials_per_minute=6000, at_once=3)
    orders = [asyncio.create_task(phone.ring(NUMBER, "", ("1", "2"))) for _ in range(100)]
    most = 0
    for _ in range(100):
        await wait_until(lambda: any(not one.done() for one in exchange.ended), "somebody is rung")
        most = max(most, sum(not one.done() for one in exchange.ended))
        exchange.end()
    assert [told.is_done for told in await asyncio.gather(*orders)] == [True] * 100
    assert most == 3
    assert phone.running == 0


async def test_who_gives_up_waiting_takes_no_place() -> None:
    exchange = Exchange()
    phone = telephone(exchange, at_once=1)
    first, second, third = (asyncio.create_task(phone.ring(NUMBER, "", ("1",))) for _ in range(3))
    await settle()
    second.cancel()
    await settle()
    exchange.end()
    assert (await first).is_done
    await wait_until(lambda: len(exchange.wishes) == 2, "the third is rung")
    exchange.end()
    assert (await third).is_done
    assert (phone.running, len(exchange.wishes)) == (0, 2)


@pytest.mark.parametrize("number", ["120", "110", "119", "122", "+86120", "0120"])
async def test_emergency_services_are_never_rung_by_machine(number: str) -> None:
    exchange = Exchange()
    told = await telephone(exchange).ring(number, "", ("1",))
    assert (told.outcome, told.reason, exchange.wishes) == ("refused", "emergency_service", [])


async def test_without_a_connected_exchange_nobody_waits() -> None:
    assert (await telephone(None).dial("8001", NUMBER)).outcome == "lost"


def test_an_alert_has_its_series_from_the_start() -> None:
    assert dict(telephone(None).counts) == {("dial", "limited"): 0, ("ring", "limited"): 0}


async def test_hanging_up_is_never_limited() -> None:
    exchange = Exchange()
    phone = telephone(exchange, dials_per_minute=1, at_once=1)
    dialling = asyncio.create_task(phone.dial("8001", NUMBER))
    await settle()
    ending = asyncio.create_task(phone.hang_up("call-1"))
    await settle()
    assert isinstance(exchange.wishes[1], HangUp)
    exchange.end()
    exchange.end()
    await asyncio.gather(dialling, ending)


# ---- orders by telephone


def order(**more: object) -> Order:
    body = {"delivery": "d-1", "incident": "I100001", "kind": "sos", "severity": "critical", **more}
    return Order(delivery="d-1", incident="I100001", responder="station-7", address=NUMBER, body=msgspec.json.encode(body))


class Heard:
    def __init__(self) -> None:
        self.answers: list[tuple[str, dict[str, object]]] = []

    def __call__(self, responder: str, body: bytes) -> None:
        self.answers.append((responder, msgspec.json.decode(body)))


@pytest.mark.parametrize(("key", "answer"), [("1", "accept"), ("2", "decline")])
async def test_the_key_is_the_answer(key: str, answer: str) -> None:
    exchange, heard = Exchange(), Heard()
    channel = PhoneChannel(PhoneChannelConfig(), lambda: telephone(exchange), heard)
    delivering = asyncio.create_task(channel.deliver(order()))
    await settle()
    [wish] = exchange.wishes
    assert isinstance(wish, Ring)
    assert wish.number == "17400000001"
    assert "紧急" in wish.say
    exchange.end(key=key)
    await delivering
    assert heard.answers == [("station-7", {"delivery": "d-1", "answer": answer})]


async def test_nobody_takes_it_three_times_and_the_order_has_failed() -> None:
    exchange, heard = Exchange(), Heard()
    phone = telephone(exchange)
    channel = PhoneChannel(PhoneChannelConfig(attempts=3), lambda: phone, heard)
    retries = []
    for outcome in ("no_answer", "busy", "no_key"):
        delivering = asyncio.create_task(channel.deliver(order()))
        await settle()
        exchange.end(outcome)
        with pytest.raises(DeliveryError) as failed:
            await delivering
        retries.append(failed.value.retry)
    assert retries == [True, True, False]
    assert heard.answers == []


WITHDRAWN = msgspec.structs.replace(
    order(), body=msgspec.json.encode({"delivery": "d-1", "incident": "I100001", "withdrawn": True, "reason": "resolved"})
)


async def test_a_withdrawal_rings_nobody_and_says_that_nobody_was_told() -> None:
    exchange = Exchange()
    channel = PhoneChannel(PhoneChannelConfig(), lambda: telephone(exchange), Heard())
    with pytest.raises(DeliveryError, match="tell_by_voice") as failed:
        await channel.deliver(WITHDRAWN)
    assert not failed.value.retry
    assert exchange.wishes == []


@pytest.mark.parametrize("at_once", [1, 2])
async def test_what_rings_or_waits_to_falls_silent_when_it_is_withdrawn(at_once: int) -> None:
    exchange, heard = Exchange(), Heard()
    phone = telephone(exchange, at_once=at_once)
    channel = PhoneChannel(PhoneChannelConfig(), lambda: phone, heard)
    other = asyncio.create_task(phone.ring(NUMBER, "", ("1",)))
    delivering = asyncio.create_task(channel.deliver(order()))
    await settle()
    withdrawing = asyncio.create_task(channel.deliver(WITHDRAWN))
    await settle()
    hang_up = exchange.wishes[-1]
    assert isinstance(hang_up, HangUp)
    rung = [wish.id for wish in exchange.wishes if isinstance(wish, Ring)]
    assert len(rung) == at_once
    assert at_once == 1 or hang_up.call == rung[1]
    exchange.ended[-1].set_result(Told(outcome="done"))
    await withdrawing
    with pytest.raises(DeliveryError):
        await delivering
    assert heard.answers == []
    exchange.end()
    await other
    assert phone.running == 0
    assert len([wish for wish in exchange.wishes if isinstance(wish, Ring)]) == at_once


async def test_a_second_cry_joins_the_ringing() -> None:
    exchange, heard = Exchange(), Heard()
    phone = telephone(exchange)
    channel = PhoneChannel(PhoneChannelConfig(), lambda: phone, heard)
    both = [asyncio.create_task(channel.deliver(order())), asyncio.create_task(channel.deliver(order(repeat=1)))]
    await settle()
    assert len(exchange.wishes) == 1
    exchange.end(key="2")
    await asyncio.gather(*both)
    assert {answer["answer"] for _, answer in heard.answers} == {"decline"}


async def test_an_exchange_that_is_away_costs_no_attempt() -> None:
    channel = PhoneChannel(PhoneChannelConfig(attempts=1), lambda: telephone(None), Heard())
    for _ in range(5):
        with pytest.raises(DeliveryError, match="no_telephone") as failed:
            await channel.deliver(order())
        assert failed.value.retry


async def test_a_responder_without_a_number_has_failed() -> None:
    channel = PhoneChannel(PhoneChannelConfig(), lambda: telephone(Exchange()), Heard())
    with pytest.raises(DeliveryError) as failed:
        await channel.deliver(msgspec.structs.replace(order(), address=""))
    assert not failed.value.retry


async def test_an_order_of_an_alarm_waits_behind_no_ordinary_one() -> None:
    """Invariant 8: a hundred visits for lost calls must not keep the telephone from a fall."""
    exchange = Exchange()
    phone = PhoneChannel(PhoneChannelConfig(), lambda: mine, lambda *_: None)
    mine = telephone(exchange, at_once=1)
    orders = [msgspec.structs.replace(order(severity=word), delivery=f"d-{n}") for n, word in enumerate(["minor"] * 3 + ["critical"])]
    under_way = [asyncio.ensure_future(phone.deliver(one)) for one in orders]
    await settle()
    assert len(exchange.wishes) == 1, "the first ordinary one rings already"
    exchange.end()
    await wait_until(lambda: len(exchange.wishes) == 2)
    assert isinstance(exchange.wishes[1], Ring)
    assert exchange.wishes[1].say.startswith("12349紧急求助")
    for one in under_way:
        one.cancel()
    await asyncio.gather(*under_way, return_exceptions=True)
