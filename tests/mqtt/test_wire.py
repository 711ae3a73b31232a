"""Reading PUBLISH and PUBACK out of a buffer, and a session to which the broker's bytes come in any pieces. Vectors: MQTT 3.1.1, 2.2.3, 3.3, 3.4."""

import asyncio
import random

import pytest
from waiting import wait_until

from drivers.lines.mqtt_session import Broker, MqttSession
from drivers.mqtt import wire
from drivers.mqtt.wire import Arrived

TO_A_B = bytes.fromhex("32 0a 0003 612f62 000a 686579")  # figures 3.11 and 3.12: topic a/b, packet identifier 10
QOS_0 = bytes.fromhex("30 07 0003 612f62 6869")
RETAINED_AGAIN = bytes.fromhex("3b 07 0003 612f62 000b")
RECEIPT = bytes.fromhex("40 02 000a")
PINGRESP = bytes.fromhex("d000")


def read(data: bytes, at: int = 0, most: int = 1000) -> tuple[list[Arrived], list[int], int, int]:
    arrived: list[Arrived] = []
    confirmed: list[int] = []
    end, count = wire.take(data, at, most, arrived, confirmed)
    return arrived, confirmed, end, count


def fields(one: Arrived) -> tuple[object, ...]:
    return one.topic, one.payload, one.mid, one.qos, one.retain, one.dup


def test_what_a_publish_says() -> None:
    arrived, confirmed, end, count = read(TO_A_B + RECEIPT + QOS_0 + RETAINED_AGAIN)
    assert [fields(one) for one in arrived] == [
        ("a/b", b"hey", 10, 1, False, False),
        ("a/b", b"hi", 0, 0, False, False),
        ("a/b", b"", 11, 1, True, True),
    ]
    assert (confirmed, end, count) == ([10], 34, 4)


def test_no_more_than_asked() -> None:
    arrived, _, end, count = read(TO_A_B * 3, len(TO_A_B), 1)
    assert (len(arrived), end, count) == (1, 2 * len(TO_A_B), 1)


@pytest.mark.parametrize(
    "other",
    [
        PINGRESP,
        bytes.fromhex("9003 0001 01"),  # SUBACK
        bytes.fromhex("34 0a 0003 612f62 000a 686579"),  # QoS 2
        bytes.fromhex("36 0a 0003 612f62 000a 686579"),  # QoS 3, which there is not
        bytes.fromhex("32 0a 00ff 612f62 000a 686579"),  # the topic is longer than the packet
        bytes.fromhex("32 05 0003 612f62"),  # no packet identifier
        bytes.fromhex("32 07 0003 612f62 0000"),  # packet identifier 0
        bytes.fromhex("30 04 0000 6869"),  # no topic
        bytes.fromhex("30 01 00"),
        bytes.fromhex("40 03 000a00"),
        bytes.fromhex("41 02 000a"),
        bytes.fromhex("30 ffffffff01"),  # a length of five bytes
    ],
)
def test_what_is_somebody_elses_stops_the_reading(other: bytes) -> None:
    arrived, confirmed, end, count = read(TO_A_B + other + TO_A_B)
    assert (len(arrived), confirmed, end, count) == (1, [], len(TO_A_B), 1)


def test_a_topic_that_is_no_utf8() -> None:
    [arrived], _, _, _ = read(bytes.fromhex("32 08 0003 61ff62 000a 21"))
    assert (arrived.topic, arrived.payload, arrived.mid) == (None, b"!", 10)


@pytest.mark.parametrize(("size", "length"), [(122, "7f"), (123, "8001"), (16_378, "ff7f"), (16_379, "808001"), (2_097_146, "ffff7f")])
def test_lengths_of_table_2_4(size: int, length: str) -> None:
    packet = bytes.fromhex("30" + length + "0003 612f62") + bytes(size)
    [arrived], _, end, _ = read(packet)
    assert (len(arrived.payload), end) == (size, len(packet))
    ours = wire.publish("a/b", bytes(size - 2), 10)
    assert ours[: 1 + len(length) // 2].hex() == "32" + length
    assert fields(read(ours)[0][0]) == ("a/b", bytes(size - 2), 10, 1, False, False)


def test_nothing_is_read_of_what_is_not_whole() -> None:
    whole = TO_A_B + RECEIPT + bytes.fromhex("30 8001 0003 612f62") + bytes(123)
    for cut in range(len(whole)):
        _, _, end, count = read(whole[:cut])
        assert end == (0 if cut < 12 else 12 if cut < 16 else 16)
        assert count == (end > 0) + (end > 12)


def test_our_own_bytes() -> None:
    assert wire.publish("a/b", b"hey", 10) == TO_A_B
    assert wire.puback(10) == RECEIPT


@pytest.mark.parametrize("topic", ["", "a/+", "a/#", "a\0b", "x" * 65_536])
def test_topics_that_cannot_be(topic: str) -> None:
    with pytest.raises(ValueError, match="no topic"):
        wire.publish(topic, b"", 1)


def test_bytes_never_make_it_raise() -> None:
    chance = random.Random(11)
    seed = TO_A_B + RECEIPT + QOS_0 + PINGRESP + RETAINED_AGAIN
    for _ in range(20_000):
        data = bytearray(seed)
        for _ in range(chance.randrange(1, 8)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        cut = bytes(data[: chance.randrange(len(data) + 1)])
        arrived, confirmed, end, count = read(cut)
        assert count == len(arrived) + len(confirmed)
        assert 0 <= end <= len(cut)


@pytest.mark.parametrize("most", [1, 2, 3, 7, 1000])
async def test_whatever_pieces_the_bytes_come_in(most: int) -> None:
    """Messages, receipts and packets that paho reads, mixed and cut anywhere: all are told, in order, each once."""
    chance = random.Random(most)
    big = wire.publish("big", bytes(200_000), 20)
    heard: list[int] = []
    confirmed: list[int] = []
    ready: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()

    async def broker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(2)
        writer.write(bytes.fromhex("20020000"))  # CONNACK
        ready.set_result(writer)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(broker, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    session = MqttSession(
        Broker("127.0.0.1", port),
        client_id="pieces",
        kept=True,
        on_arrived=lambda messages: heard.extend(message.mid for message in messages),
        on_published=confirmed.append,
    )
    await session.connect()
    writer = await ready
    told = [wire.publish("a/b", bytes(chance.randrange(300)), mid) for mid in range(1, 20)]
    mixed = [*told, big, *(wire.puback(session.publish("x", b"")) for _ in range(30)), *[PINGRESP] * 5]
    chance.shuffle(mixed)
    stream, at = b"".join(mixed), 0
    while at < len(stream):
        size = chance.randrange(1, most + 1) if len(stream) - at < 3000 or at < 3000 or most > 100 else 50_000
        writer.write(stream[at : at + size])
        await writer.drain()
        at += size
        await asyncio.sleep(0)
    await wait_until(lambda: len(heard) + len(confirmed) >= 50)
    expected = read(b"".join(packet for packet in mixed if packet != PINGRESP))
    assert heard == [one.mid for one in expected[0]]
    assert confirmed == expected[1]
    writer.write(RECEIPT[:3])  # half a receipt, and the end
    await writer.drain()
    writer.write_eof()
    await wait_until(session.lost.done)
    await session.close()
    server.close()
