"""Dialling from a console by the telephone exchange of an edge: rung, hung up, journalled; and what is said when the edge is gone."""

import json
from pathlib import Path

from cluster.cluster import Plan
from cluster.test_console_role import Page, Rooms, pages, press, seen
from servers import Outsider
from waiting import wait_until

from simulators.exchange.ami_server import AmiServer, User
from simulators.exchange.desk import Answerer
from simulators.exchange.model import Exchange, Settings
from simulators.exchange.virtual import People

NUMBER = "+8617400000009"  # of no subscriber
DIALLED = "17400000009"


class Dialling(Rooms):
    """The first edge has the exchange's line."""

    ami = 0

    def configuration(self, page: int, console: int) -> str:
        (self.folder / "ami.secret").write_text("secret")
        text = super().configuration(page, console)
        text += f'[[line]]\nname = "pbx"\ncodec = "ami"\nconnect = "tcp:127.0.0.1:{self.ami}"\nedge = "e0"\n'
        text += '[line.options]\nusername = "gateway"\nsecret_file = "ami.secret"\n'
        return text + '[telephone]\nline = "pbx"\nring_s = 10\n[calls]\nhotlines = ["12349"]\n[calls.agents]\n8001 = "Li Na"\n'

    def write_district(self, folder: Path) -> None:
        super().write_district(folder)
        persons = folder / "persons.csv"
        persons.write_text(persons.read_text().replace(",,self_caring", f",{NUMBER},self_caring", 1), encoding="utf-8")


async def test_an_operator_is_connected_by_the_exchange_of_an_edge(tmp_path: Path) -> None:
    exchange = Exchange(Settings(agents=("8001",)))
    exchange.faces.append(People(exchange))
    exchange.answerers |= {"8001": Answerer(after_s=0.05, key=""), DIALLED: Answerer(after_s=0.05, key="", talk_s=60)}
    server = AmiServer(exchange, {"gateway": User("secret")})
    await server.start()
    Dialling.ami = server.port
    try:
        async with Dialling(tmp_path, Plan(edges=1, cores=1, servers=1, shards=2, wearables=2, consoles=1)) as cluster:
            await cluster.start_all()
            street = await Outsider(cluster.broker.port, "stations/+/dispatch").ready()
            try:
                (page,) = await pages(cluster, "")
                assert (await page.post("/api/v1/duty", name="Li Na", extension="8001")).status_code == 200
                incident = await seen(cluster, page, street, await press(cluster, street, 0))
                assert (await page.act(incident, "acknowledge")).status_code == 200
                await _is_connected_and_hangs_up(cluster, page, exchange, incident)
                cluster.kill("e0")

                async def is_lost() -> bool:
                    answer = await page.act(incident, "dial", contact="person")
                    return (answer.status_code, answer.json().get("reason")) == (503, "telephone_lost")

                await cluster.sees(is_lost, "the page says that the telephone is lost")
            finally:
                street.close()
    finally:
        await exchange.stop()
        await server.stop()


async def _is_connected_and_hangs_up(cluster: Dialling, page: Page, exchange: Exchange, incident: str) -> None:
    async def is_live() -> bool:
        return bool((await page.rows("line"))["pbx"]["state"] == "live")

    await cluster.sees(is_live, "the exchange's line is live")
    answer = await page.act(incident, "dial", contact="person")
    assert (answer.status_code, answer.json()["state"]) == (202, "ringing"), answer.text
    await wait_until(lambda: exchange.calls, "it rings")
    dial = answer.json()["dial"]

    async def talks() -> bool:
        table = f"shard_{(int(incident[1:]) - 100_001) % cluster.plan.shards}.journal"
        rows = cluster.postgres.rows(f"SELECT facts::json->>'outcome' FROM {table} WHERE kind = 'dial' AND incident = '{incident}' ORDER BY seq")
        return rows == [(None,), ("done",)]

    await cluster.sees(talks, "the journal of the incident says that both talk")
    ended = await page.post(f"/api/v1/calls/{dial}/hang_up")
    assert (ended.status_code, ended.json()["outcome"]) == (200, "done"), ended.text
    await wait_until(lambda: not exchange.calls, "hung up")
    metrics = (await page.http.get("/metrics")).text
    assert 'gateway_dials_total{outcome="done",what="dial"} 1.0' in metrics
    assert NUMBER not in json.dumps(await page.rows("incident"))
