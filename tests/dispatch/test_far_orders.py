"""Orders that a core asks an edge to carry out: rung once however often they are asked for, and answered, or failed with the name of the edge."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from waiting import wait_until

from drivers.contract import STORED, Rejected, Verdict
from drivers.telephone import HangUp, Ring, ShortText, Told, Wish
from gateway import far_orders
from gateway.bus.contract import BusDown, Handler
from gateway.bus.shard_words import DONE, Answer, OpenMatter, packed
from gateway.config import Config, LineConfig, PhoneChannelConfig, TelephoneConfig
from gateway.config.bus import BusConfig
from gateway.config.dispatch import DispatchConfig, ModemChannelConfig
from gateway.core.incident import Leg, LegState
from gateway.core.register import Register, Responder, ResponderKind
from gateway.core.shards import Shards
from gateway.dispatch.contract import DeliveryError, Order
from gateway.dispatch.order_words import code_of
from gateway.event import Event, Kind
from gateway.far_orders import FarChannel, LineOrderCollector, LineOrders, far_channels, subject_of

STATION = "+8617400000001"  # no subscriber
DELIVERY = "0" * 30 + "01"  # of shard 1
NOW = datetime(2026, 11, 23, tzinfo=UTC)


class Wires:
    """As much of a bus as is needed: who answers, and what is lost on the way. questions: subjects, in order."""

    def __init__(self) -> None:
        self.handlers: dict[str, Handler] = {}
        self.questions: list[str] = []
        self.lost_answers = 0

    async def ask(self, subject: str, body: bytes, timeout_s: float) -> bytes:
        self.questions.append(subject)
        if subject not in self.handlers:
            raise BusDown(f"nobody answers {subject}")
        answering = asyncio.ensure_future(self.handlers[subject](body))
        await asyncio.wait((answering,))
        if answering.cancelled():
            raise BusDown("its process has ended")
        answer = answering.result()
        if self.lost_answers and msgspec.msgpack.decode(answer)[0]:
            self.lost_answers -= 1
            raise BusDown("lost on its way")
        return answer


class Pbx:
    """The exchange's line. wishes: what it was asked; each is under way until `end`."""

    name = "pbx"

    def __init__(self) -> None:
        self.wishes: list[Wish] = []
        self.ended: list[asyncio.Future[Told]] = []

    async def ask(self, wish: Wish) -> Told:
        self.wishes.append(wish)
        if isinstance(wish, HangUp):
            return Told(outcome="done")
        self.ended.append(asyncio.get_running_loop().create_future())
        return await self.ended[-1]

    @property
    def rung(self) -> int:
        return sum(isinstance(wish, Ring) for wish in self.wishes)

    def end(self, outcome: str = "done", key: str = "") -> None:
        next(one for one in self.ended if not one.done()).set_result(Told(outcome=outcome, key=key))


class Modem:
    name = "modem"

    def __init__(self) -> None:
        self.texts: list[ShortText] = []
        self.on_fate: Callable[[str], None] = lambda _id: None

    async def send_short(self, text: ShortText) -> str:
        self.texts.append(text)
        return ""


class Place:
    """An edge `north` with an exchange and a modem, two shards, and whoever owns them."""

    def __init__(self, *, attempts: int = 3, at_once: int = 10) -> None:
        self.wires = Wires()
        self.pbx, self.modem = Pbx(), Modem()
        self.received: list[Event | Rejected] = []
        self.may_keep = asyncio.Event()
        self.may_keep.set()
        self.config = Config(
            line=(
                LineConfig(name="pbx", codec="ami", connect="tcp:127.0.0.1:5038", edge="north"),
                LineConfig(name="modem", codec="gsm_modem", listen="serial:/dev/m", edge="north"),
            ),
            telephone=TelephoneConfig(line="pbx", at_once=at_once),
            bus=BusConfig(shards=2),
            dispatch=DispatchConfig(phone=PhoneChannelConfig(attempts=attempts), modem=ModemChannelConfig(line="modem", per_minute=6000)),
        )
        station = Responder(id="station-7", name="七", kind=ResponderKind.STATION, channel="modem", phone=STATION)
        desk = Responder(id="desk", name="desk", kind=ResponderKind.DESK, channel="console")
        self.register = Register(responders=(station, desk))
        self.orders = self.starts()

    def starts(self) -> LineOrders:
        """The edge begins, without a memory."""
        built = {"pbx": self.pbx, "modem": self.modem}
        shards = Shards(self.register, 2, self.config.calls)
        orders = LineOrders(self.config, ("pbx", "modem"), built, lambda _: True, self.receive, self.wires, lambda: shards)  # type: ignore[arg-type]
        for line in ("pbx", "modem"):
            handler = orders.carrying_out(line)
            assert handler is not None
            self.wires.handlers[subject_of(line)] = handler
        return orders

    async def dies(self) -> None:
        for line in ("pbx", "modem"):
            del self.wires.handlers[subject_of(line)]
        await self.orders.close()

    async def receive(self, events: "list[Event | Rejected]") -> list[Verdict]:  # type: ignore[misc]
        await self.may_keep.wait()
        self.received += events
        return [STORED for _ in events]

    def core(self, channel: str = "phone") -> FarChannel:
        """One that owns the shard by now."""
        found = far_channels(self.config, self.wires)[channel]  # type: ignore[arg-type]
        assert isinstance(found, FarChannel)
        return found

    def answers(self) -> list[tuple[str, object]]:
        return [(event.kind.value, event.detail["delivery"]) for event in self.received if isinstance(event, Event)]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"HOLD_S": 0.02, "AGAIN_S": 0.01, "MATTERS_S": 0.1}.items():
        monkeypatch.setattr(far_orders, name, seconds)


def order(repeat: int = 0, delivery: str = DELIVERY, **body: object) -> Order:
    said = body or {"delivery": delivery, "incident": "I100002", "kind": "sos", "severity": "critical", "device": "w-1"}
    return Order(delivery=delivery, incident="I100002", responder="station-7", address=STATION, body=msgspec.json.encode(said), repeat=repeat)


def begin(work: Awaitable[None]) -> "asyncio.Future[None]":
    return asyncio.ensure_future(work)


async def test_a_core_that_dies_while_it_rings_leaves_the_ringing_to_its_heir() -> None:
    place = Place()
    first = begin(place.core().deliver(order()))
    await wait_until(lambda: place.pbx.rung, "it rings")
    first.cancel()
    heirs = [begin(place.core().deliver(order())) for _ in range(3)]
    await wait_until(lambda: len(place.wires.questions) > 20, "they ask and ask")
    assert place.pbx.rung == 1
    place.pbx.end(key="1")
    await asyncio.gather(*heirs)
    await place.core().deliver(order())  # asked once more: it gives the answer that it has
    assert place.pbx.rung == 1
    assert place.answers() == [("accept", DELIVERY)]
    assert isinstance(place.received[0], Event)
    assert (place.received[0].device, place.received[0].line, place.orders.counts["phone", "sent"]) == ("station-7", "replies", 1)


async def test_a_key_that_is_pressed_while_nobody_asks_travels_all_the_same() -> None:
    place = Place()
    asking = begin(place.core().deliver(order()))
    await wait_until(lambda: place.pbx.rung, "it rings")
    asking.cancel()
    place.pbx.end(key="2")
    await wait_until(place.answers, "the answer is on its way to the shard")
    assert place.answers() == [("decline", DELIVERY)]


async def test_it_is_delivered_when_the_bus_has_the_answer_too() -> None:
    place = Place()
    place.may_keep.clear()
    asking = begin(place.core().deliver(order()))
    await wait_until(lambda: place.pbx.rung, "it rings")
    place.pbx.end(key="1")
    asked = len(place.wires.questions)
    await wait_until(lambda: len(place.wires.questions) > asked + 3, "it is under way still")
    assert not asking.done()
    place.may_keep.set()
    await asking
    assert place.answers() == [("accept", DELIVERY)]


async def test_a_lost_answer_is_asked_for_again_and_rings_nobody() -> None:
    place = Place()
    place.wires.lost_answers = 1
    asking = begin(place.core().deliver(order()))
    await wait_until(lambda: place.pbx.rung, "it rings")
    place.pbx.end(key="1")
    with pytest.raises(DeliveryError, match="edge_silent") as lost:
        await asking
    assert lost.value.retry
    await place.core().deliver(order())
    assert (place.pbx.rung, place.orders.counts["phone", "known"], place.answers()) == (1, 1, [("accept", DELIVERY)])


async def test_attempts_are_counted_by_the_edge_whoever_asks() -> None:
    place = Place(attempts=2)
    retries = []
    for _ in range(2):
        asking = begin(place.core().deliver(order()))  # another owner each time
        rung = place.pbx.rung
        await wait_until(lambda rung=rung: place.pbx.rung > rung, "it rings")  # type: ignore[misc]
        place.pbx.end("no_answer")
        with pytest.raises(DeliveryError, match="no_answer") as failed:
            await asking
        retries.append(failed.value.retry)
    assert retries == [True, False]
    with pytest.raises(DeliveryError, match="no_answer"):  # it has failed, and is not rung again
        await place.core().deliver(order())
    assert place.pbx.rung == 2


async def test_withdrawn_it_falls_silent() -> None:
    place = Place()
    asking = begin(place.core().deliver(order()))
    await wait_until(lambda: place.pbx.rung, "it rings")
    withdrawn = order(delivery=DELIVERY, incident="I100002", withdrawn=True, reason="resolved")
    await place.core().deliver(withdrawn)
    with pytest.raises(DeliveryError):
        await asking
    assert isinstance(place.pbx.wishes[-1], HangUp)


async def test_the_limits_are_the_edges_for_all_shards() -> None:
    place = Place(at_once=1)
    both = [begin(place.core().deliver(order(delivery=f"{n:032x}"))) for n in range(2)]
    await wait_until(lambda: place.pbx.rung and len(place.wires.questions) > 10, "one rings, the other waits")
    assert place.pbx.rung == 1
    place.pbx.end(key="1")
    await wait_until(lambda: place.pbx.rung == 2, "its turn")
    place.pbx.end(key="1")
    await asyncio.gather(*both)


async def test_an_edge_that_is_started_again_rings_once_more_under_the_same_delivery() -> None:
    place = Place()
    core = place.core()
    asking = begin(core.deliver(order()))
    await wait_until(lambda: place.pbx.rung, "it rings")
    await place.dies()
    for _ in range(3):  # the outbox asks again while it is still wanted
        with pytest.raises(DeliveryError, match="edge_silent: north/pbx") as failed:
            await asking
        assert failed.value.retry
        asking = begin(core.deliver(order()))
    with pytest.raises(DeliveryError):
        await asking
    place.orders = place.starts()
    asking = begin(core.deliver(order()))
    await wait_until(lambda: place.pbx.rung == 2, "it rings again")
    place.pbx.end(key="1")
    await asking
    assert place.answers() == [("accept", DELIVERY)]


async def test_an_edge_that_stays_away_has_failed_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place()
    await place.dies()
    core = place.core()
    withdrawn = order(delivery=DELIVERY, incident="I100002", withdrawn=True, reason="resolved")
    for silent_s, one, retry in ((60.0, order(), True), (0.0, order(), False), (0.0, withdrawn, True)):
        monkeypatch.setattr(far_orders, "SILENT_S", silent_s)
        with pytest.raises(DeliveryError) as failed:
            await core.deliver(one)
        assert (failed.value.reason, failed.value.retry) == ("edge_silent: north/pbx", retry)


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(far_orders, "KEPT", 3)
    place = Place()
    texts = place.core("modem")
    for n in range(5):
        await texts.deliver(order(delivery=f"{n:032x}"))
    await texts.deliver(order(delivery=f"{4:032x}"))
    assert len(place.modem.texts) == 5, "the newest is remembered"
    ringing = [begin(place.core().deliver(order(delivery=f"{n:032x}"))) for n in range(5, 8)]
    await wait_until(lambda: place.pbx.rung == 3, "they ring")
    with pytest.raises(DeliveryError, match="busy") as failed:  # what is under way is never forgotten
        await texts.deliver(order(delivery=f"{9:032x}"))
    assert failed.value.retry
    for _ in ringing:
        place.pbx.end(key="1")
    await asyncio.gather(*ringing)


async def test_a_second_cry_is_a_second_text_and_the_same_asked_twice_is_one() -> None:
    place = Place()
    for core in (place.core("modem"), place.core("modem")):
        for repeat in (0, 1):
            await core.deliver(order(repeat))
    assert len(place.modem.texts) == 2


async def test_a_text_that_does_not_arrive_is_told_to_whoever_owns_the_order() -> None:
    place = Place()
    told: list[object] = []
    await place.core("modem").deliver(order())
    place.modem.on_fate(place.modem.texts[0].id)
    await wait_until(lambda: place.wires.questions.count("shard.1.undelivered") > 2, "its shard moves")

    async def owner(body: bytes) -> bytes:
        told.append(msgspec.msgpack.decode(body))
        return packed(Answer(DONE))

    place.wires.handlers["shard.1.undelivered"] = owner
    await wait_until(lambda: told, "told")
    assert told == [[DELIVERY, 0, "undelivered"]]


def text(words: str, sender: str = STATION) -> Event:
    detail: dict[str, object] = {"text": words, "from": sender}
    return Event(kind=Kind.HELP, line="modem", device=sender, received_at=NOW, occurred_at=NOW, kind_raw="text/plain", detail=detail)


def owner_of(*legs: Leg) -> Handler:
    async def open_orders(body: bytes) -> bytes:
        assert msgspec.msgpack.decode(body) == ["modem", ["station-7"]]
        return packed(Answer(DONE, packed([OpenMatter("I100002", legs)] if legs else [])))

    return open_orders


async def test_a_text_is_an_answer_by_what_is_open_in_all_shards() -> None:
    place = Place()
    leg = Leg(delivery=DELIVERY, responder="station-7", channel="modem", state=LegState.SENT, ordered_at=NOW, reply_by=NOW, ts=0)
    place.wires.handlers |= {"shard.0.open_orders": owner_of(), "shard.1.open_orders": owner_of(leg)}
    emit = place.orders.emit_of("modem", place.receive)  # type: ignore[arg-type]
    verdicts = await emit([text("救命", "+8617400000009"), text(f"1 {code_of(DELIVERY)}")])
    assert [verdict.retry for verdict in verdicts] == [False, False]
    cry, answer = place.received
    assert isinstance(cry, Event)
    assert isinstance(answer, Event)
    assert (cry.kind, cry.detail["text"]) == (Kind.HELP, "救命")
    assert (answer.kind, answer.device, answer.detail["delivery"]) == (Kind.ACCEPT, "station-7", DELIVERY)


async def test_while_a_shard_is_silent_an_answer_is_to_be_sent_again_and_nobody_else_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(far_orders, "TEXT_S", 0.05)
    place = Place()
    place.wires.handlers["shard.0.open_orders"] = owner_of()
    emit = place.orders.emit_of("modem", place.receive)  # type: ignore[arg-type]
    verdicts = await emit([text("1"), text("救命", "+8617400000009")])
    assert [verdict.retry for verdict in verdicts] == [True, False]
    assert [event.detail["text"] for event in place.received if isinstance(event, Event)] == ["救命"]
    asked = len(place.wires.questions)
    await emit([text("救命", "+8617400000009")])
    assert len(place.wires.questions) == asked, "no shard is asked about a stranger's text"


async def test_no_number_and_no_name_is_in_the_metrics() -> None:
    place = Place()
    asking = begin(place.core().deliver(order()))
    await wait_until(lambda: place.pbx.rung, "it rings")
    registry = CollectorRegistry()
    registry.register(LineOrderCollector(place.orders))
    assert registry.get_sample_value("gateway_dials_running") == 1
    place.pbx.end(key="1")
    await asking
    labels = {"channel": "phone", "outcome": "sent"}
    assert registry.get_sample_value("gateway_line_orders_total", labels) == 1
    assert registry.get_sample_value("gateway_dials_total", {"what": "ring", "outcome": "done"}) == 1
    assert "1740000" not in str(list(registry.collect()))


def test_an_edge_without_such_a_line_carries_nothing_out(tmp_path: Path) -> None:
    place = Place()
    shards = Shards(place.register, 2, place.config.calls)
    orders = LineOrders(place.config, ("buttons",), {}, lambda _: True, place.receive, place.wires, lambda: shards)  # type: ignore[arg-type]
    assert (orders.channels, orders.carrying_out("pbx"), orders.emit_of("pbx", place.receive)) == ({}, None, place.receive)  # type: ignore[arg-type]
