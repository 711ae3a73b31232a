"""Faults around whole lines of panels and trackers, every family in one running gateway: a full disk, bad bytes, floods."""

import asyncio
import contextlib
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from device_house import FAMILIES, J9, J9_ANSWER, DeviceHouse, Peer, Street, jt808, press, street
from house import Setting
from servers import Outsider, until
from test_faults import BACK_S, _fill, _run
from test_kill import slow_disk

from simulators.panels.dc09_text import TIME, encipher, read_reply
from simulators.panels.dc09_text import frame as dc09

PATIENCE_S = 1.0  # until a device sends again what has no receipt
KEY = bytes(range(16))
FLOOD_PER_S = 5_000  # messages of one source; nobody may say more than 600 (drivers.lines.conversing)
FLOOD_TURN_S = 0.02
FLOOD_S = 5.0
OTHERS = "127.0.0.2"  # another source
LATENCY_S = 10.0  # until a receipt, with three floods on two cores that others use too; without them it is some milliseconds
GROWTH_MIB = 64.0
FAMILY = {family.name: family for family in FAMILIES}


async def _through(seen: Street, peer: Peer, tries: int = 40) -> None:
    """The device repeats until it has its receipt; where there are none, the line holds what it has heard."""
    for _ in range(tries):
        if await peer.cries(PATIENCE_S):
            return
    raise AssertionError(f"{peer.family.name}: no receipt\n{seen.house.tail()}")


async def test_receipt_after_the_commit_and_one_incident_for_what_is_said_twice(tmp_path: Path) -> None:
    """On a disk that takes its time: the moment that a device has its receipt, its alarm can be read in the journal."""
    async with street(tmp_path, Setting(environment=slow_disk(tmp_path))) as (house, seen):
        for family in FAMILIES:
            peer = seen.peers[family.name]
            assert await peer.cries(), f"{family.name}: no receipt\n{house.tail()}"
            if family.receipt:
                assert [fact["kind"] for fact in house.facts(family.name)][:1] == [family.kind], f"{family.name}: a receipt without a journal"
            await until(lambda family=family: seen.deliveries(family.person), f"a station heard of {family.name}")  # type: ignore[misc]
        for family in FAMILIES:
            if family.receipt:  # what has none is never repeated: the same again is a second press
                if family.codec == "jt808":  # its answers are numbered on
                    seen.peers[family.name] = await seen.dial(family)
                await _through(seen, seen.peers[family.name])
        for family in FAMILIES:
            facts = house.facts(family.name, family.kind)
            assert len({fact["incident"] for fact in facts}) == 1, f"{family.name}: {facts}"
            assert len(seen.deliveries(family.person)) == 1, family.name


async def test_full_disk_no_receipt_and_the_repetition_is_one_incident(tmp_path: Path) -> None:
    data = tmp_path / "small"
    data.mkdir()
    if os.geteuid() != 0 or not _run("mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(data)):
        pytest.skip("NOT TESTED: only root can mount a file system of three megabytes")
    try:
        async with street(tmp_path, Setting(data="small")) as (house, seen):
            buttons = await Outsider(house.broker.port).ready()
            await _until_full(house, data)
            faults = await asyncio.gather(*(_no_receipt(seen.peers[family.name]) for family in FAMILIES))
            assert [fault for fault in faults if fault] == []
            await buttons.publish(*press(1))
            assert "store_down" in (await house.reasons() or [])
            assert all(house.facts(family.name) == [] for family in FAMILIES)
            (data / "filler").unlink()
            await asyncio.gather(*(_through(seen, seen.peers[family.name]) for family in FAMILIES if family.receipt))
            people = [person for person, _, _ in house.people]
            await until(lambda: all(seen.deliveries(person) for person in people), "a station heard of everybody", BACK_S)
            await house.ready()
            for family in FAMILIES:
                facts = house.facts(family.name, family.kind)
                assert len({fact["incident"] for fact in facts}) == 1, f"{family.name}: {facts}"
                assert sum(fact.get("phase", "raise") == "raise" for fact in facts) == 1, f"{family.name}: {facts}"
            assert {person: len(seen.deliveries(person)) for person in people} == dict.fromkeys(people, 1)
            assert await house.metric("gateway_rejected_total") == 0, "a full disk is nobody's fault but ours"
            buttons.close()
    finally:
        _run("umount", "-l", str(data))


async def _until_full(house: DeviceHouse, data: Path) -> None:
    """Fill the disk, and use up what SQLite still has in its files with cries of a button that is on no register."""
    stranger = await Outsider(house.broker.port).ready()
    _fill(data)
    give_up = time.monotonic() + BACK_S
    number = 0
    while "store_down" not in (await house.reasons() or []):
        number += 1
        await stranger.publish(*press(number, "nobody's"))
        assert time.monotonic() < give_up, f"the disk never was full\n{house.tail()}"
    stranger.close()


async def _no_receipt(peer: Peer) -> str:
    """What is wrong with what a device hears while nothing can be stored: "" when nothing is."""
    family = peer.family
    if family.busy:
        for data, answer in family.before:
            await peer.asks(data, answer)
        peer.heard.clear()
        peer.say(family.alarm)
        heard = await peer.hears(family.busy)
        peer.say(family.after)
        return "" if heard else f"{family.name}: not told that we are busy"
    if await peer.cries(PATIENCE_S) and family.receipt:
        return f"{family.name}: a receipt although nothing can be stored"
    return ""


async def test_bad_bytes_are_kept_with_their_reason_and_disturb_nobody(tmp_path: Path) -> None:
    async with street(tmp_path) as (house, seen):
        buttons = await Outsider(house.broker.port).ready()
        wanted: dict[tuple[str, str], str] = {}
        faults: list[str] = []
        for family in FAMILIES:
            for bad in family.bad:
                wanted[family.name, bad.reason] = bad.what
                peer = await seen.dial(family, greets=bad.greeted)
                peer.say(bad.data)
                if bad.reply is not None:
                    with contextlib.suppress(AssertionError):
                        if bad.reply and await peer.hears(bad.reply):
                            continue
                        if not bad.reply and await peer.hears(b"", 0.05):
                            continue
                    faults.append(f"{family.name}, {bad.what}: heard {bytes(peer.heard)!r} in place of {bad.reply!r}")
        await buttons.publish("acme/bt-0042/up", b'{"btn":', b"\xff\xfe")
        await buttons.publish("fragile/x/up", b'{"values":["a"]}')
        wanted |= {("mapping", "bad_json"): "no JSON", ("mapping", "mapping_error"): "an expression that fails"}
        # everybody else gets through: another device of the same line, and so of all other families
        for family in FAMILIES:
            peer = seen.peers[family.name] = await seen.dial(family)
            if not await peer.cries():
                faults.append(f"{family.name}: its neighbour has no receipt")
        await buttons.publish(*press(1))
        people = [person for person, _, _ in house.people]
        await until(lambda: all(seen.deliveries(person) for person in people), "a station heard of everybody", BACK_S)
        with contextlib.suppress(AssertionError):
            await until(lambda: wanted.keys() <= house.rejected(), "everything bad is kept", BACK_S)
        missing = {key: what for key, what in wanted.items() if key not in house.rejected()}
        for line, reason in sorted(wanted.keys() & house.rejected()):
            if not await house.metric("gateway_rejected_total", line=line, reason=reason):
                faults.append(f"{line} {reason}: not in the metrics")
        assert (missing, faults) == ({}, []), sorted(house.rejected())
        assert house.facts("mapping", "fault"), "the profile that cannot be read is told"
        buttons.close()


def _sealed(sequence: int, at: datetime, key: bytes = KEY, zone: str = "003") -> bytes:
    """A personal emergency of account 8A8A, encrypted at that time."""
    clear = f"|#8A8A|1101 00 {zone}]{at.strftime(TIME)}".encode()
    return dc09(f'"*ADM-CID"{sequence:04}L0#8A8A['.encode() + encipher(key, clear).encode())


async def _answer(peer: Peer, within_s: float = PATIENCE_S) -> str:
    """The word of the next frame that this dialler hears, "" for none; an encrypted one must be readable with its key."""
    with contextlib.suppress(AssertionError):
        await until(lambda: b"\r" in peer.heard, "an answer", within_s)
    raw, end, rest = bytes(peer.heard).partition(b"\r")
    peer.heard[:] = rest
    reply = read_reply(raw.lstrip(b"\n"), KEY)
    assert reply.sound == bool(end), raw
    return ("*" if reply.encrypted else "") + reply.word


async def test_encrypted_another_key_replayed_and_stale(tmp_path: Path) -> None:
    panels = (FAMILY["dc09"], FAMILY["dc09-udp"], FAMILY["receiver"])
    async with street(tmp_path, families=panels) as (house, seen):
        for name in ("dc09", "dc09-udp"):
            peer = seen.peers[name]
            at = datetime.now(UTC)
            almost_stale = _sealed(21, at - timedelta(seconds=37))
            peer.say(almost_stale)
            assert await _answer(peer) == "*ACK"
            assert len(house.facts(name)) == 1
            peer.say(_sealed(22, at, bytes(16)))
            assert await _answer(peer, 0.3) == "", "nobody who cannot be read is told that it was"
            peer.say(_sealed(23, at - timedelta(seconds=90)))
            assert await _answer(peer) == "NAK"
            assert await seen.peers["receiver"].cries()
            heard: list[str] = []

            async def replayed(peer: Peer = peer, frame: bytes = almost_stale, heard: list[str] = heard) -> bool:
                peer.say(frame)
                heard.append(await _answer(peer))
                return heard[-1] == "NAK"

            await house.sees(replayed, "the replayed message is outside the window")
            assert set(heard) <= {"*ACK", "NAK"}  # the first seconds it is a repetition, and acknowledged as one
            assert len(house.facts(name)) == 1, "a replayed message is no second cry"
            assert {(name, "wrong_key"), (name, "stale_timestamp")} <= house.rejected()
            notices = [fact["kind_raw"] for fact in house.facts(name, "fault")]
            assert "wrong_key" in notices, "people are told of a device that cannot be read"
            peer.say(_sealed(24, datetime.now(UTC), zone="004"))
            assert await _answer(peer) == "*ACK"


async def test_a_terminal_that_encrypts_is_told_to_people_and_answered(tmp_path: Path) -> None:
    async with street(tmp_path, families=(FAMILY["terminals"],)) as (house, seen):
        await seen.peers["terminals"].asks(J9, jt808(0x8001, J9_ANSWER, 0x0101))
        assert [fact["kind_raw"] for fact in house.facts("terminals", "fault")] == ["encrypted"]


class Flood:
    """One source that says far too much: sound signs of life, and one in five with a wrong check."""

    def __init__(self, peer: Peer, *frames: bytes) -> None:
        self.peer = peer
        self.said = 0
        self._frames = frames

    async def run(self) -> None:
        """Until cancelled."""
        each = int(FLOOD_PER_S * FLOOD_TURN_S)
        frames = [self._frames[number % len(self._frames)] for number in range(each)]
        is_udp = self.peer.family.word == "udp"
        while True:
            if self.peer.is_closed:
                return
            if is_udp:
                for frame in frames:
                    self.peer.say(frame)
                self.said += each
            elif self.peer.unsent < 1_000_000:  # over TCP what is not read waits with the sender
                self.peer.say(b"".join(frames))
                self.said += each
            self.peer.heard.clear()
            await asyncio.sleep(FLOOD_TURN_S)


async def test_floods_are_limited_counted_and_delay_nobody_else(tmp_path: Path) -> None:
    families = tuple(FAMILY[name] for name in ("dc09", "dc09-udp", "watches", "receiver"))
    null, wrong = dc09(b'"NULL"0006L0#4711[]'), b'\nEDCE0013"NULL"0006L0#4711[]\r'
    watch = b"[3G*8800000099*0002*LK]"
    async with street(tmp_path, families=families) as (house, seen):
        others = {family.name: await seen.dial(family, OTHERS) for family in families}
        frames = {"dc09": (null, null, null, null, wrong), "dc09-udp": (null, null, null, null, wrong), "watches": (watch,)}
        floods = [Flood(seen.peers[name], *some) for name, some in frames.items()]
        before = house.memory_mib()
        tasks = [asyncio.create_task(flood.run()) for flood in floods]
        slowest, cried = 0.0, 0
        try:
            ends = time.monotonic() + FLOOD_S
            while time.monotonic() < ends:
                for name, peer in others.items():
                    began = time.monotonic()
                    assert await peer.cries(), f"{name}: no receipt while others flood\n{house.tail()}"
                    slowest, cried = max(slowest, time.monotonic() - began), cried + 1
                began = time.monotonic()
                assert await house.reasons() == []
                slowest = max(slowest, time.monotonic() - began)
            counted = {
                flood.peer.family.name: await house.metric("gateway_line_counted_total", line=flood.peer.family.name, what="flooding")
                for flood in floods
            }
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        growth = house.memory_mib() - before
        print(f"{[flood.said for flood in floods]} said, counted {counted}, {cried} cries, slowest {slowest:.2f} s, {growth:.0f} MiB more")
        assert min(counted.values()) > 0, counted
        assert counted["dc09-udp"] > 1_000
        assert slowest < LATENCY_S
        assert growth < GROWTH_MIB
        assert ("dc09-udp", "flooding") in house.rejected()
        assert {len(seen.deliveries(family.person)) for family in families} == {1}
