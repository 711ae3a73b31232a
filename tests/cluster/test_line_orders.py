"""Stations that are reached only by telephone or text, on several machines: cores order, the edge that has the line rings, whoever dies meanwhile."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from cluster.cluster import START_S, Cluster, Plan
from servers import Outsider, until
from waiting import free_port, wait_until

from gateway.dispatch.order_words import code_of
from gateway.far_orders import SILENT_S
from simulators.exchange.ami_server import AmiServer, User
from simulators.exchange.call import Said
from simulators.exchange.desk import Answerer
from simulators.exchange.happening import Happening, What
from simulators.exchange.model import Exchange, Settings
from simulators.exchange.virtual import People
from simulators.gsm_modem import GsmModem
from simulators.pseudo_terminal import PseudoTerminal
from tests.dispatch.test_sip_house import Telephone, telephone

STATION = "17400000001"  # no subscriber; every station's
MODEM = "+8617400000002"
SHARDS = 2
RINGS_S = 600  # far above what anything here takes: only a key, a death or a withdrawal ends the ringing


class Lines(Cluster):
    """The second edge has the lines by which orders leave; `centre` is reached by mqtt, and hears what a station cannot be told."""

    lines = ""
    channel, address = "phone", STATION

    def configuration(self, page: int, console: int) -> str:
        (self.folder / "secret").write_text("secret")
        return super().configuration(page, console).replace("[store]", f"{self.lines}\n[store]", 1)

    def write_district(self, folder: Path) -> None:
        super().write_district(folder)
        responders = folder / "responders.csv"
        rows = responders.read_text().splitlines()
        rows = [row.replace(",mqtt,,,15", f",{self.channel},{self.address},,15") for row in rows]
        alone = next(row for row in rows if row.startswith("station-"))  # one telephone is one station's
        rows = [row for row in rows if row == alone or not row.startswith("station-")]
        responders.write_text("\n".join(rows) + "\n", encoding="utf-8")

    def rows(self, what: str) -> list[tuple[object, ...]]:
        """Of the journals of all shards."""
        return self.postgres.rows(" UNION ALL ".join(f"SELECT {what}".replace("JOURNAL", f"shard_{n}.journal") for n in range(SHARDS)))

    async def press(self, street: Outsider, number: int = 0, seq: int = 1) -> None:
        await street.publish(self.plan.topic(number), json.dumps({"kind": "sos", "ts": int(time.time() * 1000), "seq": seq}))

    async def accepted(self, responder: str = "station-0") -> bool:
        return self.rows(f"1 FROM JOURNAL WHERE kind = 'accept' AND device = '{responder}'") == [(1,)]

    def logs(self) -> str:
        return "".join(server.log.read_text(errors="replace") for name, server in self.servers.items() if name in (*self.edges, *self.cores))


class Rung:
    """The exchange of the second edge. rung: numbers outside that it dialled."""

    def __init__(self) -> None:
        self.exchange = Exchange(Settings(agents=("8001",)))
        self.exchange.faces += [People(self.exchange), self._note]
        self.exchange.answerers[STATION] = Answerer(does="nothing", key="1", key_after_s=0.05)
        self.server = AmiServer(self.exchange, {"gateway": User("secret")})
        self.rung: list[str] = []

    def _note(self, happening: Happening) -> None:
        if happening.what is What.DIALLING and happening.call.outbound:
            self.rung.append(happening.leg.number)

    def takes_it(self) -> None:
        """Somebody picks up, and presses the key."""
        (call,) = self.exchange.calls.values()
        call.say(Said.ANSWERED, call.legs[0])

    def line(self) -> str:
        return (
            f'[[line]]\nname = "pbx"\ncodec = "ami"\nconnect = "tcp:127.0.0.1:{self.server.port}"\nedge = "e1"\nmandatory = true\n'
            '[line.options]\nusername = "gateway"\nsecret_file = "secret"\n'
            f'[telephone]\nline = "pbx"\nring_s = {RINGS_S}\n[dispatch.phone]\n'
        )


@pytest.fixture
async def pbx() -> AsyncIterator[Rung]:
    found = Rung()
    await found.server.start()
    yield found
    await found.exchange.stop()
    await found.server.stop()


@asynccontextmanager
async def cluster_of(folder: Path, lines: str, channel: str = "phone", address: str = STATION) -> AsyncIterator[tuple[Lines, Outsider]]:
    kind = type("Here", (Lines,), {"lines": lines, "channel": channel, "address": address})
    async with kind(folder, Plan(servers=1, shards=SHARDS, wearables=2)) as cluster:
        await cluster.start_all()
        street = await Outsider(cluster.broker.port, "stations/+/dispatch").ready()
        try:
            yield cluster, street
        finally:
            street.close()


async def owner_of_the_order(cluster: Lines) -> str:
    (shard,) = [n for n in range(SHARDS) if cluster.postgres.rows(f"SELECT 1 FROM shard_{n}.journal WHERE kind = 'dispatch'")]
    (name,) = (await cluster.owners())[shard]
    return name


async def test_a_core_that_dies_while_it_rings_leaves_the_key_press_to_its_heir(tmp_path: Path, pbx: Rung) -> None:
    async with cluster_of(tmp_path, pbx.line()) as (cluster, street):
        await cluster.press(street)
        await until(lambda: pbx.rung, "the station's telephone rings")
        cluster.kill(await owner_of_the_order(cluster))
        heir = next(name for name in cluster.cores if cluster.servers[name].is_running)

        async def owns_both() -> bool:
            return (await cluster.owners()) == {0: [heir], 1: [heir]}

        await cluster.sees(owns_both, "the heir has both shards")
        pbx.takes_it()
        await cluster.sees(cluster.accepted, "the key is written as the station's answer")

        async def sent() -> bool:
            return cluster.rows("1 FROM JOURNAL WHERE kind = 'sent'") == [(1,)]

        await cluster.sees(sent, "the heir has heard what came of the order")
        assert pbx.rung == [STATION], "rung once, whoever asked"
        assert len(cluster.rows("1 FROM JOURNAL WHERE kind = 'dispatch'")) == 1
        metrics = await cluster.metrics("e1")
        assert metrics['gateway_line_orders_total{channel="phone",outcome="sent"}'] == 1
        assert metrics['gateway_dials_total{outcome="done",what="ring"}'] == 1
        assert STATION not in cluster.logs(), "no number in any log"
        assert street.received == [], "nobody else was asked"


async def test_an_edge_that_dies_while_it_rings_and_comes_back_rings_again_under_the_same_delivery(tmp_path: Path, pbx: Rung) -> None:
    async with cluster_of(tmp_path, pbx.line()) as (cluster, street):
        await cluster.press(street)
        await until(lambda: pbx.rung, "the station's telephone rings")
        cluster.kill("e1")
        await pbx.exchange.restart()  # nobody holds that telephone any more
        cluster.start("e1")
        await until(lambda: len(pbx.rung) == 2, "it rings again")
        pbx.takes_it()
        await cluster.sees(cluster.accepted, "the key is written as the station's answer")
        assert len(cluster.rows("1 FROM JOURNAL WHERE kind = 'dispatch'")) == 1
        assert street.received == []


async def test_an_edge_that_stays_away_fails_the_order_by_name_and_the_next_one_up_is_asked(tmp_path: Path, pbx: Rung) -> None:
    async with cluster_of(tmp_path, pbx.line()) as (cluster, street):
        await cluster.press(street)
        await until(lambda: pbx.rung, "the station's telephone rings")
        cluster.kill("e1")

        async def is_asked() -> bool:
            return bool(street.received)

        await cluster.sees(is_asked, "the centre is asked in its place", START_S + 2 * SILENT_S)
        topic, _ = street.received[0]
        assert topic == "stations/centre/dispatch"
        failed = cluster.rows("facts::json->>'responder', facts::json->>'reason' FROM JOURNAL WHERE kind = 'failed'")
        assert failed == [("station-0", "edge_silent: e1/pbx")]
        assert "edge_silent: orders by its line wait" in cluster.logs()


async def test_texts_leave_by_the_edges_lines_and_their_answers_find_the_way_back(tmp_path: Path) -> None:
    """SIP and modem: the core that ordered is dead when the station answers."""
    async with telephone("station-0") as phone:
        port = free_port(socket.SOCK_DGRAM)
        line = f'[[line]]\nname = "texts"\ncodec = "sip"\nlisten = "udp:{port}:interface=127.0.0.1"\nedge = "e1"\n[dispatch.sip]\nline = "texts"\n'
        async with cluster_of(tmp_path, line, "sip", phone.address) as (cluster, street):
            await cluster.press(street)
            await until(lambda: phone.texts, "the station has the text")
            cluster.kill(await owner_of_the_order(cluster))
            await cluster.sees(partial(answered, phone, port), "received, as soon as its shard has an owner")
            await cluster.sees(cluster.accepted, "it is the station's answer")
            assert len(phone.texts) == 1, "texted once, whoever asked"
            assert street.received == []


async def answered(phone: Telephone, port: int) -> bool:
    """The station writes 1; while a shard has no owner it is to write again."""
    code = (await phone.writes("1", port)).split()[1]
    assert code in ("200", "503"), code
    return code == "200"


async def test_short_messages_leave_by_the_edges_modem(tmp_path: Path) -> None:
    terminal = PseudoTerminal(tmp_path / "modem0")
    terminal.plug()
    modem = GsmModem(terminal)
    runs = asyncio.create_task(modem.run())
    line = f'[[line]]\nname = "modem"\ncodec = "gsm_modem"\nlisten = "serial:{terminal.link}"\nedge = "e1"\n[dispatch.modem]\nline = "modem"\n'
    try:
        async with cluster_of(tmp_path, line, "modem", MODEM) as (cluster, street):
            await cluster.press(street)
            await wait_until(modem.texts, "the station has the short message")
            ((number, text),) = modem.texts()
            ((delivery,),) = cluster.rows("facts::json->>'delivery' FROM JOURNAL WHERE kind = 'dispatch'")
            assert (number, code_of(str(delivery)) in text) == (MODEM, True)
            cluster.kill(await owner_of_the_order(cluster))
            modem.receive(MODEM, f"1 {code_of(str(delivery))}")
            await cluster.sees(cluster.accepted, "it is the station's answer")
            assert len(modem.texts()) == 1, "texted once, whoever asked"
            assert MODEM.removeprefix("+86") not in cluster.logs()
    finally:
        runs.cancel()
        terminal.unplug()
