"""A whole gateway that hears every family of panels and trackers at once, and one peer of each, who speaks raw frames.

Frames come from the protocols' fact sheets and standards, never from our own encoders. Everybody has one device of their own.
"""

import asyncio
import contextlib
import json
import socket
import sqlite3
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from functools import reduce
from operator import xor
from pathlib import Path
from typing import Any

import msgspec
from house import District, House, Setting
from servers import until
from waiting import WAIT_S, free_port

from gateway.event import ALARM_KINDS
from simulators.panels.dc09_text import frame as dc09
from simulators.stations import Behaviour, Stations

EOT, ENQ, ACK, NAK = b"\x04", b"\x05", b"\x06", b"\x15"
HEAR_S = WAIT_S
SILENT_S = 0.3  # so long nothing is said
MAPPING = """
name = "acme"
title = { zh-CN = "测试", en = "Test" }
source = "invented"

[[rule]]
name = "press"
topic = "acme/{device}/up"
when = "btn == 'L'"

[[rule.event]]
kind = "sos"
sequence = "n"
dedup = { key = ["n"], within_s = 600 }

[[tell]]
word = "taken"
topic = "acme/{device}/set"
payload = '{"warning":{"mode":"stop"}}'
"""
FRAGILE = """
name = "fragile"
title = { zh-CN = "测试", en = "Test" }
source = "invented"

[[rule]]
name = "sum"
topic = "fragile/{device}/up"
when = "sum(values) > `3`"

[[rule.event]]
kind = "sos"
"""
BROKEN = 'name = "broken"\n[[rule]]\nname = "x"\ntopic = "broken/{device}"\nwhen = "a ==== b"\n[[rule.event]]\nkind = "sos"\n'


def jt808(message: int, body: str, serial: int, phone: str = "013800138000") -> bytes:
    """Edition of 2013, from the sheet's table; nothing in it may need an escape."""
    data = message.to_bytes(2) + len(bytes.fromhex(body)).to_bytes(2) + bytes.fromhex(phone) + serial.to_bytes(2) + bytes.fromhex(body)
    assert not {0x7E, 0x7D} & {*data, reduce(xor, data)}
    return b"\x7e" + data + bytes([reduce(xor, data)]) + b"\x7e"


def elk(words: str) -> bytes:
    """LL MM data 00 CC, from the sheet's table."""
    line = f"{len(words) + 4:02X}{words}00"
    return f"{line}{-sum(map(ord, line)) & 0xFF:02X}\r\n".encode()


@dataclass(frozen=True, slots=True)
class Bad:
    """What a peer sends that can be no alarm. reason: under which it is kept; reply: the exact answer, None: not looked at.

    greeted: after the family's greeting; else on a connection that has said nothing.
    """

    what: str
    data: bytes
    reason: str
    reply: bytes | None = b""
    greeted: bool = True


@dataclass(frozen=True, slots=True)
class Family:
    """One codec on a line of its own.

    alarm      raw; device: whose it is, as the register has it
    receipt    the exact answer, b"" where the protocol has none: then its peers never repeat
    busy       what a peer hears when the store is down
    greeting   (say, hear) once on each connection; before: (say, hear) before each alarm; after: said when its answer is there
    kind       a word of our own dictionary
    """

    name: str
    codec: str
    device: str
    alarm: bytes
    receipt: bytes
    busy: bytes = b""
    options: str = ""
    word: str = "tcp"
    kind: str = "sos"
    greeting: tuple[tuple[bytes, bytes], ...] = ()
    before: tuple[tuple[bytes, bytes], ...] = ()
    after: bytes = b""
    bad: tuple[Bad, ...] = ()

    @property
    def person(self) -> str:
        return f"p-{self.name}"


ESPA_CALL = bytes.fromhex(
    "01 31 02 31 1f 32 30 31 1e 32 1f 52 6f 6f 6d 20 31 32 20 63 61 6c 6c 1e 33 1f 32 1e 34 1f 33 1e 35 1f 31 1e 36 1f 31 03 25"
)
ESPA_BAD = bytes.fromhex("01 31 02 31 1f 41 03 5e")
G1, G1_ANSWER = bytes.fromhex("78780D01012345678901234500018CDD0D0A"), bytes.fromhex("787805010001D9DC0D0A")
G6 = bytes.fromhex("787825261A0802030405C9026B2A250C3CB15D00145A0901CC00287D001F7104040301020011D5660D0A")
G4 = bytes.fromhex("787822220F0C1D023305C9027AC8180C46586000140001CC00287D001F71000001000820860D0A")
J2 = bytes.fromhex("7E02000028013800138000000200000081000000030157FAF806CC6289000C0069005A2608021104050104000003E8300118310109887E")
J3 = bytes.fromhex("7E0200001C013800138000000300000001000000000000000000000000000000000000260802110406897E")
J9 = bytes.fromhex("7E0200041C01380013800000090000000100000002015752A006CB8080000000000000260802110410FA7E")
J9_ANSWER = "0009020003"
AUTHENTICATE = jt808(0x0102, "30", 0), jt808(0x8001, "0000010200", 0x0100)
W15 = b"[ZJ*8800000015*0007*0054*AL,020826,030405,A,22.543096,N,114.057865,E,0.00,0.0,12.0,9,80,64,0,0,00010000,0,0,0]"
LK = b"[3G*8800000015*0002*LK]"
TAP_LOGON = b"\x1bPG1\r", b"\x06\r\x1b[p\r"
TAP_PAGE = bytes.fromhex("02 39 30 30 31 0d 46 41 4c 4c 20 49 4e 20 52 4f 4f 4d 20 35 0d 03 34 37 31 0d")
DC09_ALARM = b'\nD5350027"ADM-CID"0003L0#4711[#4711|1100 01 005]\r'
DC09_ACK = dc09(b'"ACK"0003L0#4711[]')
DC09_BAD = (
    Bad("wrong check", b'\nD5360027"ADM-CID"0003L0#4711[#4711|1100 01 005]\r', "bad_crc"),
    Bad("the length in decimal digits", b'\n57150047"ADM-CID"0247R4F39L4F39#4F39[#4F39|3401 01 057]\r', "bad_length"),
    Bad(
        "another key",
        b'\n3EDE0076"*ADM-CID"0012L0#8A8A[2F20521024E95DDA78E695D738845567BFF71ACB4294E9DEB896DF2C109CDDD3EF1D135CF17BAEFEA15800B222FD58C0\r',
        "wrong_key",
    ),
    Bad(
        "stale: of the first of February 2026",
        b'\n333C0076"*ADM-CID"0011L0#8A8A[C23D73ED5AFF315AB66CF9E6ADAF1BCFA47D60E3F94DE41695271078A0DDEB14DAABD1BED06FB4972EE23B8B26063E27\r',
        "stale_timestamp",
        None,
    ),
    Bad("a token of nobody", dc09(b'"XYZ"0008L0#4711[]'), "unknown_token", dc09(b'"DUH"0008L0#4711[]')),
    Bad("a payload of a wrong shape", dc09(b'"ADM-CID"0009L0#4711[#4711|11 01 005]'), "bad_payload", dc09(b'"DUH"0009L0#4711[]')),
)
ACCOUNTS = 'accounts = { "8A8A" = { key = "000102030405060708090a0b0c0d0e0f" } }'

FAMILIES = (
    Family(
        "dc09",
        "sia_dc09",
        "4711",
        DC09_ALARM,
        DC09_ACK,
        kind="medical",
        options=ACCOUNTS,
        bad=(
            *DC09_BAD,
            Bad("cut off", DC09_ALARM[:30] + dc09(b'"NULL"0006L0#4711[]'), "no_cr", dc09(b'"ACK"0006L0#4711[]')),
            Bad("of another protocol", b"GET / HTTP/1.1\r\nHost: here\r\n\r\n", "unparsable"),
        ),
    ),
    Family(
        "dc09-udp",
        "sia_dc09",
        "4711",
        DC09_ALARM,
        DC09_ACK,
        kind="medical",
        word="udp",
        options=ACCOUNTS,
        bad=(*DC09_BAD, Bad("of another protocol", b"\x00\x01\x02\x03" * 10, "unparsable")),
    ),
    Family(
        "blocks",
        "contact_id",
        "1234",
        b"123418110100005D\r\n",
        ACK,
        bad=(
            Bad("wrong sum", b"1234181131010159\r\n", "bad_checksum"),
            Bad("cut off", b"123418113101015\r\n", "bad_length"),
            Bad("qualifier 2", b"1234182131010157\r\n", "bad_qualifier"),
            Bad("of another protocol", b"HELLO OUT THERE\r\n", "bad_digit"),
        ),
    ),
    Family(
        "receiver",
        "surgard",
        "4321",
        b"5000 184321E10100005\x14",
        ACK,
        bad=(
            Bad("an unknown qualifier", b"5000 184321X10100005\x14", "unreadable", NAK),
            Bad("cut off", b"5000 184321E101", "no_terminator"),
            Bad("noise", b"\x00\x01\x02\x14", "noise", None),
            Bad("without an end", b"5000 18" + b"4" * 400, "too_long", None),
        ),
    ),
    Family(
        "ward",
        "espa444",
        "201",
        ESPA_CALL,
        ACK,
        b"2" + NAK,
        options="poll_silence_s = 0",
        before=((EOT + b"1" + ENQ + b"2" + ENQ, ACK),),
        after=EOT,
        bad=(
            Bad("wrong check", EOT + b"1\x052\x05" + ESPA_BAD, "bad_bcc", ACK + b"1" + NAK),
            Bad("cut off", EOT + b"1\x052\x05" + ESPA_CALL[:12] + EOT, "eot_in_block", ACK),
            Bad("an unknown header", EOT + b"1\x052\x05" + bytes.fromhex("01 39 02 31 1f 41 03 57"), "unknown_header", ACK + b"3" + NAK),
            Bad("unselected", ESPA_CALL, "not_selected"),
        ),
    ),
    Family(
        "ward-control",
        "espa444",
        "201",
        ESPA_CALL,
        ACK,
        b"2" + NAK,
        options='role = "control"\nstations = ["2"]\npoll_s = 0.3',
        before=((b"", EOT + b"2" + ENQ), (b"1" + ENQ, ACK)),
        after=EOT,
    ),
    Family(
        "ness",
        "ness",
        "0",
        b"87000361020101260201120000d6\r\n",
        b"",
        options='zones = { "1" = "sos" }\nask_s = 0',
        bad=(
            Bad("wrong sum", b"87000361020101260201120000d7\r\n", "bad_checksum"),
            Bad("cut off", b"870003610201012602\r\n", "bad_checksum"),
            Bad("of another protocol", b"HELLO\r\n", "unparsable"),
        ),
    ),
    Family(
        "elk",
        "elk",
        "elk",
        elk("AZ" + "0B" + "0" * 206),
        b"",
        options="ask_s = 0",
        bad=(
            Bad("wrong sum", b"0AZC002900C6\r\n", "bad_checksum"),
            Bad("wrong length", b"0BZC002900C7\r\n", "bad_length"),
        ),
    ),
    Family(
        "decoder",
        "alarmdecoder",
        "alarmdecoder",
        b"!LRR:012,1,CID_1101,ff\r\n",
        b"",
        bad=(Bad("of another protocol", b"<html>\r\n", "unparsable"),),
    ),
    Family(
        "pages",
        "tap",
        "9001",
        TAP_PAGE,
        b"\x06\r",
        b"\x15\r",
        kind="fall",
        options='default = "fall"',
        greeting=(TAP_LOGON,),
        bad=(
            Bad("wrong sum", TAP_PAGE[:-2] + b"2\r", "bad_checksum", b"\x15\r"),
            Bad("before the logon", TAP_PAGE, "not_logged_on", b"\x1b\x04\r", greeted=False),
            Bad("cut off", TAP_PAGE[:10] + b"\x04\r", "eot_in_block", None),
        ),
    ),
    Family(
        "records",
        "comp2",
        "1234",
        b"1234\rCall 5\r",
        b"",
        options='default = "sos"',
        bad=(Bad("no pager's id", b"ABC\r!\r", "bad_id"), Bad("cleared", b"4321\rCal\x7f\x7f\x7f", "cleared")),
    ),
    Family(
        "watches",
        "watch3g",
        "8800000015",
        W15,
        b"[ZJ*8800000015*0007*0002*AL]",
        options="locate_on_sos = false",
        bad=(
            Bad("no header", b"[3G*88*zz]" + LK, "bad_header", LK),
            Bad("unknown escape", b"[3G*8800000016*0005*TK,\x7d\x09]" + LK, "bad_escape", LK),
            Bad("without an end", b"[3G*7700000001*0002*TK," + b"x" * 70_000, "too_long"),
        ),
    ),
    Family(
        "pendants",
        "gt06",
        "123456789012345",
        G6,
        bytes.fromhex("78780526001146630D0A"),
        greeting=((G1, G1_ANSWER),),
        bad=(
            Bad("wrong check", G6[:-3] + b"\x67\r\n", "bad_crc"),
            Bad("cut off, then a login and its repetition", G6[:22] + 2 * G1, "unreadable", 2 * G1_ANSWER, greeted=False),
            Bad("before the login", G4, "not_logged_in", greeted=False),
        ),
    ),
    Family(
        "terminals",
        "jt808",
        "13800138000",
        J3,
        jt808(0x8001, "0003020000", 0x0101),
        greeting=(AUTHENTICATE,),
        bad=(
            Bad("wrong check", J2[:-2] + b"\x89\x7e", "bad_check"),
            Bad("cut off", b"\x7e" + J2[1:30] + b"\x7e", "bad_check"),
            Bad("before it has authenticated itself", jt808(0x0002, "", 1, "013900139000"), "not_authenticated", None, greeted=False),
        ),
    ),
    Family(
        "terminals-udp",
        "jt808",
        "13800138000",
        J3,
        jt808(0x8001, "0003020000", 0x0101),
        word="udp",
        greeting=(AUTHENTICATE,),
        bad=(Bad("wrong check", J2[:-2] + b"\x89\x7e", "bad_check"),),
    ),
)


class DeviceHouse(House):
    """families: which lines it has beside those of a plain house; more: whole sections of the configuration.

    people: more of them: (person, line, device).
    """

    def __init__(
        self,
        folder: Path,
        setting: Setting | None = None,
        *,
        families: tuple[Family, ...] = FAMILIES,
        more: str = "",
        people: Iterable[tuple[str, str, str]] = (),
    ) -> None:
        super().__init__(folder, District(wearables=1, rooms=1, buttons=1, callers=1), setting)
        self.families = families
        self.more = more
        self.ports = {family.name: free_port(socket.SOCK_STREAM, socket.SOCK_DGRAM) for family in families}
        self.people: list[tuple[str, str, str]] = [(family.person, family.name, family.device) for family in families]
        self.people += [("p-mapping", "mapping", "bt-0042"), *people]

    def write_config(self) -> None:
        super().write_config()
        folder = self.folder / "mappings"
        folder.mkdir(exist_ok=True)
        for name, text in (("acme", MAPPING), ("fragile", FRAGILE), ("broken", BROKEN)):
            (folder / f"{name}.toml").write_text(text)
        parts = [self.config.read_text()]
        for family in self.families:
            listen = f'listen = "{family.word}:{self.ports[family.name]}:interface=127.0.0.1"'
            parts.append(f"{self._line(family.name, family.codec, listen)}[line.options]\n{family.options.replace('{folder}', str(self.folder))}\n")
        broker = self._line("mapping", "mapping", f'broker = "{self.broker.url}"')
        parts.append(f'{broker}[line.options]\nmappings = ["acme", "fragile", "broken"]\n')
        self.config.write_text("\n".join([*parts, self.more]))
        self._register()

    def _register(self) -> None:
        """One person and one device for each family; everybody lives in a home of their own."""
        folder = self.folder / "districts" / "chaos"
        self.district.write(folder)
        for name, rows in (
            ("persons", [f"{person},某人,1940,chaos,home-{person},,36.350,102.870,,self_caring,general,,," for person, _, _ in self.people]),
            ("devices", [f"{device},{line},{person},,,,,,invented" for person, line, device in self.people]),
        ):
            with (folder / f"{name}.csv").open("a", encoding="utf-8") as file:
                file.write("\n".join(rows) + "\n")

    async def dial(self, family: Family, host: str = "127.0.0.1") -> "Peer":
        """A new peer of this line, greeted by nobody yet."""
        peer = Peer(family)
        await peer.open(self.ports[family.name], host)
        return peer

    def memory_mib(self) -> float:
        """Resident memory of the gateway (proc(5))."""
        assert self.process is not None
        return int(Path(f"/proc/{self.process.pid}/status").read_text().partition("VmRSS:")[2].split()[0]) / 1024

    # --- what can be seen

    def facts(self, line: str, *kinds: str) -> list[dict[str, Any]]:
        """Events of a line in the journal, of these kinds (none named: alarms): what happened, and the entry's kind, incident and seq."""
        rows = [row for row in self.journal() if row["line"] == line and row["kind"] in (kinds or ALARM_KINDS)]
        return [{**msgspec.json.decode(str(row["facts"])), "kind": row["kind"], "incident": row["incident"], "seq": row["seq"]} for row in rows]

    def rejected(self) -> set[tuple[str, str]]:
        """(line, reason) of all that is kept for inspection."""
        path = self.folder / self.setting.data / "gateway.db"
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as store:
            return set(store.execute("SELECT line, reason FROM rejected"))


class Peer:
    """One connection, or one UDP socket, of a device. `heard`: what came and was not yet looked at."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self.heard = bytearray()
        self.is_closed = False
        self._news = asyncio.Event()
        self._transport: Any = None

    async def open(self, port: int, host: str = "127.0.0.1") -> None:
        """host: ours, which is what a gateway tells sources apart by."""
        loop = asyncio.get_running_loop()
        if self.family.word == "udp":
            self._transport, _ = await loop.create_datagram_endpoint(lambda: _Wire(self), (host, 0), remote_addr=("127.0.0.1", port))
        else:
            self._transport, _ = await loop.create_connection(lambda: _Wire(self), "127.0.0.1", port, local_addr=(host, 0))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    @property
    def unsent(self) -> int:
        """Bytes that the gateway does not take at present."""
        size: int = self._transport.get_write_buffer_size()
        return size

    def say(self, data: bytes) -> None:
        if not data:
            return
        if self.family.word == "udp":
            self._transport.sendto(data)
        else:
            self._transport.write(data)

    def arrived(self, data: bytes) -> None:
        self.heard += data
        self._news.set()

    def hung_up(self) -> None:
        self.is_closed = True
        self._news.set()

    async def hears(self, expected: bytes, within_s: float = HEAR_S) -> bool:
        """Does exactly this come next? Nothing within the time is False; something else is an error."""
        try:
            async with asyncio.timeout(within_s):
                while len(self.heard) < len(expected) and not self.is_closed:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            pass
        if not self.heard:
            return not expected
        got = bytes(self.heard[: len(expected)])
        assert got == expected, f"{self.family.name}: heard {bytes(self.heard)!r} in place of {expected!r}"
        del self.heard[: len(expected)]
        return True

    async def asks(self, data: bytes, answer: bytes) -> None:
        self.say(data)
        assert await self.hears(answer), f"{self.family.name}: no answer {answer!r} to {data!r}"

    async def greets(self) -> None:
        for data, answer in self.family.greeting:
            await self.asks(data, answer)

    async def cries(self, within_s: float = HEAR_S) -> bool:
        """One alarm as the protocol says it. True: it has its receipt (or the protocol has none); False: nothing, or busy."""
        if self.family.name == "ward-control":
            self.heard.clear()  # polls of the past
        for data, answer in self.family.before:
            await self.asks(data, answer)
        self.say(self.family.alarm)
        wanted, busy = self.family.receipt, self.family.busy
        if not wanted:
            return True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while len(self.heard) < min(len(wanted), len(busy) or len(wanted)):
                    self._news.clear()
                    await self._news.wait()
        answer = bytes(self.heard)
        self.heard.clear()
        if answer[: len(wanted)] == wanted:
            self.say(self.family.after)
            return True
        assert answer in (b"", busy), f"{self.family.name}: heard {answer!r}"
        self.say(self.family.after)
        return False


class _Wire(asyncio.Protocol):
    """Both an asyncio Protocol and a DatagramProtocol: their names differ."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def data_received(self, data: bytes) -> None:
        self._peer.arrived(data)

    def datagram_received(self, data: bytes, _address: object) -> None:
        self._peer.arrived(data)

    def error_received(self, _error: Exception) -> None: ...

    def connection_lost(self, _error: Exception | None) -> None:
        self._peer.hung_up()


class Street:
    """A running house of devices, its stations, and one greeted peer of each family."""

    def __init__(self, house: DeviceHouse, stations: Stations) -> None:
        self.house = house
        self.stations = stations
        self.peers: dict[str, Peer] = {}
        self._all: list[Peer] = []

    async def dial(self, family: Family, host: str = "127.0.0.1", *, greets: bool = True) -> Peer:
        peer = await self.house.dial(family, host)
        self._all.append(peer)
        if greets:
            await peer.greets()
        return peer

    def close(self) -> None:
        for peer in self._all:
            peer.close()

    def deliveries(self, person: str) -> set[str]:
        """Ids under which this person's cry was sent to stations."""
        return {order.delivery for order in self.stations.orders if order.person == person}


@contextlib.asynccontextmanager
async def street(
    folder: Path,
    setting: Setting | None = None,
    *,
    families: tuple[Family, ...] = FAMILIES,
    more: str = "",
    helpful: bool = False,
    greets: bool = True,
) -> AsyncIterator[tuple[DeviceHouse, Street]]:
    """Started, live, everybody connected. At the end the books balance, it stops as asked, and its journal is whole."""
    async with DeviceHouse(folder, setting, families=families, more=more) as house:
        manner = Behaviour("helpful", answer_after=(0.0, 0.1), travel=(3600.0, 3600.0)) if helpful else Behaviour("silent")
        stations = Stations(house.address, choose=lambda *_: manner, identifier="stations-of-the-test")
        task = asyncio.create_task(stations.run())
        house.start()
        seen = Street(house, stations)
        try:
            await house.lines_live("station-replies", "mapping", *house.ports)
            await until(stations.ready.is_set, "the stations stand")
            for family in families:
                seen.peers[family.name] = await seen.dial(family, greets=greets)
            yield house, seen
            assert await house.unbalanced() == {}
        finally:
            seen.close()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if house.is_running:
            assert await house.stop() == 0, house.tail()
        proof = house.run("journal", "verify")
        assert proof.returncode == 0, proof.stderr
        assert house.said("Traceback") == 0, house.tail()


def press(number: int, device: str = "bt-0042") -> tuple[str, bytes]:
    """(topic, payload) of a button behind the mapping file."""
    return f"acme/{device}/up", json.dumps({"btn": "L", "n": number}).encode()
