"""Consoles of their own beside edges and cores, as real processes: what one sees all see, whoever dies."""

import asyncio
import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from cluster.cluster import Cluster, Plan
from servers import Outsider, until

PEOPLE = 12
PASSWORD = "correct horse battery"  # invented
SECRET = "texts of an invented provider"
SHARDS = 3


class Rooms(Cluster):
    """Two consoles, each with a folder of its own, as on two machines."""

    accounts = False

    def page(self, url: str, cookies: httpx.Cookies | None = None) -> "Page":
        """A browser; closed with the cluster."""
        self.pages_open.append(Page(url, cookies))
        return self.pages_open[-1]

    async def __aenter__(self) -> "Rooms":
        self.pages_open: list[Page] = []
        await super().__aenter__()
        return self

    async def __aexit__(self, *how: object) -> None:
        for one in self.pages_open:
            await one.http.aclose()
        await super().__aexit__(*how)

    def configuration(self, page: int, console: int) -> str:
        text = super().configuration(page, console).replace('data = "data"', f'data = "data-{console}"')
        (self.folder / "texts.secret").write_text(SECRET)
        text += '[dispatch.sms]\nurl = "http://127.0.0.1:9/"\njson = { to = "{phone}", text = "{text}" }\n'
        text += '[dispatch.sms.callback]\nsecret_file = "texts.secret"\nproof = "shared"\nheader = "X-Token"\n'
        return text.replace("accounts = false", "accounts = true\nno_ears_s = 0") if self.accounts else text


class LockedRooms(Rooms):
    accounts = True


class Page:
    """One browser at one console, without a page."""

    def __init__(self, url: str, cookies: httpx.Cookies | None = None) -> None:
        self.http = httpx.AsyncClient(base_url=url, timeout=20, trust_env=False, cookies=cookies)
        self.csrf = ""

    async def begin(self, name: str = "") -> "Page":
        self.csrf = (await self.http.get("/api/v1/session")).json()["csrf"]
        if name:
            assert (await self.post("/api/v1/duty", name=name)).status_code == 200
        return self

    async def post(self, path: str, **body: object) -> httpx.Response:
        return await self.http.post(path, json=body, headers={"x-csrf": self.csrf})

    async def rows(self, kind: str) -> dict[str, dict[str, Any]]:
        frame = (await self.http.get("/api/v1/changes", params={"since": 0})).json()
        return {item["id"]: item for item in frame["items"] if item["type"] == kind}

    async def act(self, incident: str, action: str, **facts: object) -> httpx.Response:
        return await self.post(f"/api/v1/incidents/{incident}/{action}", **facts)


def shard_of(incident: str) -> int:
    return (int(incident[1:]) - 100_001) % SHARDS


async def pages(cluster: Rooms, *names: str) -> list[Page]:
    """One at each console, as soon as it answers."""
    found = []
    for (console, url), name in zip(cluster.consoles.items(), names, strict=True):
        page = cluster.page(url)
        await cluster.sees(partial(_answers, page), f"{console} answers")
        found.append(await page.begin(name))
    return found


async def _answers(page: Page) -> bool:
    try:
        return (await page.http.get("/healthz")).status_code == 200
    except httpx.HTTPError:
        return False


async def press(cluster: Cluster, street: Outsider, number: int, seq: int = 1) -> str:
    await street.publish(cluster.plan.topic(number), json.dumps({"kind": "sos", "ts": int(time.time() * 1000), "seq": seq}))
    return cluster.plan.device(number)


async def seen(cluster: Cluster, page: Page, street: Outsider, device: str) -> str:
    """The incident of a device, by the order that a station has had, once it is on the page."""

    def ordered() -> str:
        orders = (json.loads(body) for _, body in street.received)
        return next((str(order["incident"]) for order in orders if order["device"] == device), "")

    await until(ordered, f"{device} is an order")

    async def there() -> bool:
        return ordered() in await page.rows("incident")

    await cluster.sees(there, f"{device} is on the page")
    return ordered()


async def test_what_one_console_does_all_see_whoever_dies(tmp_path: Path) -> None:
    """One cluster for the whole story, as its parts take long to start."""
    async with Rooms(tmp_path, Plan(servers=1, shards=SHARDS, wearables=PEOPLE, consoles=2)) as cluster:
        await cluster.start_all()
        street = await Outsider(cluster.broker.port, "stations/+/dispatch").ready()
        try:
            one, other = await pages(cluster, "Li Na", "Wang Fang")
            incidents = await _a_press_is_on_every_page(cluster, street, one, other)
            await _one_of_two_wins(one, other, incidents[1])
            await _what_is_ruled_counts_everywhere(cluster, one)
            await _what_comes_over_http_is_decided(cluster, one, other)
            await _every_page_answers(one, incidents[0])
            await _what_cannot_be_done_is_refused_in_words(one, incidents)
            await _an_edge_takes_its_lines_along(cluster, one, other)
            await _a_core_dies_and_commands_wait_for_the_next(cluster, one, other, incidents)
            await _without_cores_all_stays_to_be_seen(cluster, one, other, incidents)
        finally:
            street.close()


async def _a_press_is_on_every_page(cluster: Cluster, street: Outsider, one: Page, other: Page) -> list[str]:
    devices = [await press(cluster, street, number) for number in range(PEOPLE)]
    incidents = [await seen(cluster, one, street, device) for device in devices]
    assert [await seen(cluster, other, street, device) for device in devices] == incidents
    assert {shard_of(name) for name in incidents} == set(range(SHARDS)), "people of every shard have pressed"
    answer = await one.act(incidents[0], "acknowledge")
    assert (answer.status_code, answer.json()["incident"]["state"]) == (200, "acknowledged"), answer.text
    assert (await one.rows("incident"))[incidents[0]]["owner"] == "Li Na", "who asked sees it at once"

    async def told() -> bool:
        return bool((await other.rows("incident"))[incidents[0]]["owner"] == "Li Na")

    await cluster.sees(told, "the other console shows the owner")
    refused = await other.act(incidents[0], "acknowledge")
    assert (refused.status_code, refused.json()["reason"], refused.json()["by"]) == (409, "already_acknowledged", "Li Na")
    shards = (await other.http.get("/api/v1/shards")).json()["shards"]
    assert [row["shard"] for row in shards] == list(range(SHARDS))
    assert all(row["owner"] in cluster.cores and row["epoch"] >= 1 for row in shards)

    async def both_on_duty() -> bool:
        return {"Li Na", "Wang Fang"} == (await one.rows("operator")).keys() == (await other.rows("operator")).keys()

    await cluster.sees(both_on_duty, "each console shows who sits at the other")
    return incidents


async def _one_of_two_wins(one: Page, other: Page, incident: str) -> None:
    answers = await asyncio.gather(one.act(incident, "acknowledge"), other.act(incident, "acknowledge"))
    assert sorted(answer.status_code for answer in answers) == [200, 409], [answer.text for answer in answers]
    winner = next(answer.json()["incident"]["owner"] for answer in answers if answer.status_code == 200)
    loser = next(answer.json() for answer in answers if answer.status_code == 409)
    assert (loser["reason"], loser["by"]) == ("already_acknowledged", winner)


async def _what_is_ruled_counts_everywhere(cluster: Cluster, one: Page) -> None:
    ruled = await one.post("/api/v1/aid/lost/station-1", value="lost", reason="no line to it")
    assert ruled.status_code == 200, ruled.text
    rows = " UNION ALL ".join(f"SELECT {n} FROM shard_{n}.standing WHERE key = 'lost:station-1'" for n in range(SHARDS))
    assert sorted(cluster.postgres.rows(rows)) == [(n,) for n in range(SHARDS)], "what is ruled about a station counts in every shard"
    lifted = await one.post("/api/v1/aid/lost/station-1", value="", reason="the line is back")
    assert lifted.status_code == 200, lifted.text


async def _what_comes_over_http_is_decided(cluster: Cluster, one: Page, other: Page) -> None:
    """A text from nobody we know is an incident of the shard of unknown callers, once; whoever wrote it may turn out to be anybody."""
    before = (await one.rows("incident")).keys()
    for page in (one, other):
        body = {"from": "+8617400000099", "text": "help me", "id": "t1"}
        posted = await page.http.post("/api/v1/texts", json=body, headers={"X-Token": SECRET})
        assert posted.status_code == 200, posted.text
    (incident,) = (await other.rows("incident")).keys() - before
    assert shard_of(incident) == 0
    journal = await asyncio.to_thread(cluster.journal)
    person = next(device.replace("w-00000", "p-") for shard in range(1, SHARDS) for device, _ in journal[shard] if device < "w-00001")
    known = await one.act(incident, "identify", person=person)
    assert known.status_code == 200, known.text
    wish = {"person": person, "service": "housekeeping", "wish": "clean the windows"}
    filed = await one.post("/api/v1/requests", **wish)
    assert (filed.status_code, filed.json()["request"]["person"]["id"]) == (200, person), filed.text
    unsigned = await one.http.post("/api/v1/texts", json={"from": "+8617400000099", "text": "no"}, headers={"X-Token": "wrong"})
    assert unsigned.status_code == 401


async def _every_page_answers(one: Page, incident: str) -> None:
    words = "ops lines devices providers requests watch desk aid maintenance shift notices kpi outcomes upward audit audit/verify service-levels"
    for path in (*words.split(), "self-test", "register/facets", "map", "call-backs", "exports", f"incidents/{incident}/history"):
        answer = await one.http.get(f"/api/v1/{path}")
        assert answer.status_code == 200, (path, answer.text)
    assert len((await one.http.get("/api/v1/audit")).json()["entries"]) >= 3, "duty and rulings, of all shards"
    detail = (await one.http.get(f"/api/v1/incidents/{incident}")).json()
    assert "acknowledge" in json.dumps(detail["timeline"])
    found = await one.post("/api/v1/history", kind="sos")
    assert found.status_code == 200, found.text
    metrics = (await one.http.get("/metrics")).text
    assert 'gateway_shard_missing{shard="2"} 0.0' in metrics


async def _what_cannot_be_done_is_refused_in_words(one: Page, incidents: list[str]) -> None:
    first = incidents[0]
    elsewhere = next(name for name in incidents if shard_of(name) != shard_of(first))
    merged = await one.act(first, "merge", into=elsewhere)
    assert (merged.status_code, merged.json()["reason"]) == (409, "other_shard"), merged.text
    feed = await one.http.get("/api/v1/journal-feed")
    assert (feed.status_code, feed.json()["reason"]) == (400, "missing_shard"), feed.text


async def _an_edge_takes_its_lines_along(cluster: Cluster, one: Page, other: Page) -> None:
    async def states(line: str) -> set[str]:
        return {str((await page.rows("line"))[line]["state"]) for page in (one, other)}

    async def is_live() -> bool:
        return await states("wearables-e1") == {"live"}

    async def is_lost() -> bool:
        return await states("wearables-e1") == {"lost"}

    await cluster.sees(is_live, "the line of an edge is live")
    cluster.kill("e1")
    await cluster.sees(is_lost, "the dead edge's line is lost")
    assert (await one.rows("line"))["wearables-e1"]["reason"] == "edge e1 does not answer"
    assert await states("wearables-e0") == {"live"}
    cluster.start("e1")


async def _a_core_dies_and_commands_wait_for_the_next(cluster: Cluster, one: Page, other: Page, incidents: list[str]) -> None:
    owners = {row["shard"]: row["owner"] for row in (await one.http.get("/api/v1/shards")).json()["shards"]}
    incident = incidents[2]
    cluster.kill(owners[shard_of(incident)])
    answer = await one.act(incident, "acknowledge")
    assert answer.status_code == 200, answer.text  # waited for the new owner, ten seconds at most
    assert set(incidents) <= (await other.rows("incident")).keys(), "nothing has left the page"

    async def told() -> bool:
        return bool((await other.rows("incident"))[incident]["owner"] == "Li Na")

    await cluster.sees(told, "the new owner's changes are seen")
    cluster.start(owners[shard_of(incident)])


async def _without_cores_all_stays_to_be_seen(cluster: Cluster, one: Page, other: Page, incidents: list[str]) -> None:
    for name in (*cluster.cores, "page1"):
        cluster.kill(name)
    cluster.start("page1")
    late = await one.act(incidents[3], "note", text="still here")
    assert (late.status_code, late.json()["reason"]) == (503, "store_down")
    await cluster.sees(partial(_answers, other), "a page starts without any core")
    for page in (one, other):
        await page.begin()
        assert set(incidents) <= (await page.rows("incident")).keys(), "from what is on disk"

        async def said(page: Page = page) -> bool:
            lines = await page.rows("line")
            return all(lines.get(f"shard-{n}", {}).get("reason") == f"shard {n} has no core" for n in range(SHARDS))

        await cluster.sees(said, "the page says which shards have no core")
        ready = await page.http.get("/readyz")
        assert (ready.status_code, {"reason": "line_not_live", "line": "shard-1", "state": "lost"} in ready.json()["reasons"]) == (503, True)
    for name in cluster.cores:
        cluster.start(name)

    async def well() -> bool:
        return not any(name.startswith("shard-") for name in await other.rows("line"))

    await cluster.sees(well, "every shard has a core again")
    assert (await one.act(incidents[3], "note", text="still here")).status_code == 200


async def test_whoever_has_logged_in_at_one_console_is_known_at_the_other(tmp_path: Path) -> None:
    async with LockedRooms(tmp_path, Plan(servers=1, shards=SHARDS, wearables=PEOPLE, edges=1, cores=1, consoles=2)) as cluster:
        await cluster.start_all()
        await pages(cluster, "", "")
        urls = list(cluster.consoles.values())
        made = await _account_command(cluster, "page0", "add", "li.na", "--name", "Li Na", "--role", "operator", "--own")
        assert made == 0
        one = await cluster.page(urls[0]).begin()
        for path in ("/api/v1/providers", "/api/v1/shards", "/api/v1/accounts"):
            assert (await one.http.get(path)).status_code == 401, path
        answer = await one.post("/api/v1/login", login="li.na", password=PASSWORD)
        assert answer.status_code == 200, answer.text
        other = cluster.page(urls[1], one.http.cookies)

        async def known() -> bool:
            return (await other.http.get("/api/v1/providers")).status_code == 200

        await cluster.sees(known, "the session is good at the other console")
        await other.begin()
        assert (await other.post("/api/v1/duty", name="whatever")).json()["name"] == "Li Na"
        for path in ("/api/v1/accounts", "/api/v1/audit", "/api/v1/shards"):
            assert (await other.http.get(path)).status_code == 403, "the rights are the same everywhere"
        cluster.kill("page1")
        cluster.start("page1")
        await cluster.sees(partial(_answers, other), "page1 answers")
        assert (await other.http.get("/api/v1/providers")).status_code == 200, "and after its restart"
        await one.begin()
        assert (await one.post("/api/v1/logout")).status_code == 200

        async def gone() -> bool:
            return (await other.http.get("/api/v1/providers")).status_code == 401

        await cluster.sees(gone, "logged out at one is logged out at both")


async def _account_command(cluster: Cluster, console: str, *words: str) -> int:
    command = [*cluster.servers[console].command[:3], "account", *words, "--config", str(cluster.folder / f"{console}.toml")]
    process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.PIPE)
    await process.communicate(f"{PASSWORD}\n".encode())
    return process.returncode or 0
