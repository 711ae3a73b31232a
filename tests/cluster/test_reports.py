"""A province tells its city: every shard is a sender of its own, whoever owns it, and the city has all that happened, once, of the same persons."""

import asyncio
import json
import signal
from binascii import crc32
from functools import partial
from pathlib import Path
from typing import Any

from cluster.cluster import START_S, STREETS, Plan
from cluster.prompt import command, done
from cluster.test_console_role import Page, Rooms, pages, press
from servers import Outsider, until

from gateway.doctor import Finding
from gateway.doctor.checks import examine_file
from simulators.municipal import Municipal

SHARDS = 3
PEOPLE = 12
SECRET = b"an invented secret of a city"
ADDRESSES = [f"/{name}/{shard}" for name in ("records", "events") for shard in range(SHARDS)]
IN_FORCE = "configuration in force"


class City(Municipal):
    """Deaf, it keeps what it is told, and its receipt never arrives. Addresses in `shut` answer 503."""

    is_deaf = False
    shut: frozenset[str] = frozenset()

    async def _answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        if target.startswith(tuple(self.shut)):
            return 503, b"{}"
        answer = await super()._answer(method, target, headers, body)
        if self.is_deaf and method == "POST":
            raise ConnectionResetError
        return answer

    def last(self, address: str) -> int:
        return max(self.senders.get(address, {}), default=0)

    def pseudonyms(self) -> dict[str, set[str]]:
        """Incident → as whom its person was reported."""
        found: dict[str, set[str]] = {}
        for report in self.reports:
            if "person" in report:
                found.setdefault(report["incident"], set()).add(report["person"])
        return found


class Province(Rooms):
    """Every part has a data folder of its own, as on machines of their own."""

    def __init__(self, folder: Path, plan: Plan, city: City) -> None:
        self.city = city
        super().__init__(folder, plan)

    def configuration(self, page: int, console: int) -> str:
        (self.folder / "city.secret").write_bytes(SECRET)
        (self.folder / "city.key").write_text("an invented key on every machine")
        told = "".join(
            f'[[counterpart]]\nname = "{name}"\nkind = "{kind}"\nurl = "http://127.0.0.1:{self.city.port}/{name}/{{shard}}"\n'
            f'secret_file = "city.secret"\nbatch = 5\n{key}'
            for name, kind, key in (("records", "management", 'pseudonym_key_file = "city.key"\n'), ("events", "supervision", ""))
        )
        return super().configuration(page, console) + told

    async def waits(self) -> dict[str, float]:
        """Address → journal entries that it was not told of, of every shard that has an owner."""
        found: dict[str, float] = {}
        for name in self.cores:
            if self.servers[name].is_running:
                metrics = await self.metrics(name)
                for address in ADDRESSES:
                    _, to, shard = address.split("/")
                    series = f'gateway_upward_lag_entries{{shard="{shard}",to="{to}"}}'
                    if series in metrics:
                        found[address] = metrics[series]
        return found

    async def all_is_told(self) -> bool:
        return await self.waits() == dict.fromkeys(ADDRESSES, 0.0)

    def persons(self) -> dict[str, str]:
        """Incident → whose it is."""
        sql = " UNION ALL ".join(f"SELECT 'I' || number, body::json->>'person' FROM shard_{n}.incident" for n in range(SHARDS))
        return {str(incident): str(person) for incident, person in self.postgres.rows(sql)}

    def without_receipt(self, name: str) -> dict[str, int]:
        """Address → the last number that left and has no receipt."""
        found = {}
        for shard in range(SHARDS):
            rows = self.postgres.rows(f"SELECT last FROM shard_{shard}.report_outbox WHERE name = '{name}' AND sent_at IS NULL")
            found |= {f"/{name}/{shard}": int(str(last)) for (last,) in rows}
        return found


async def test_every_shard_tells_the_city_whoever_owns_it(tmp_path: Path) -> None:
    city = City(SECRET)
    await city.start()
    try:
        async with Province(tmp_path, Plan(edges=1, cores=2, consoles=1, servers=1, shards=SHARDS, wearables=PEOPLE), city) as province:
            await province.start_all()
            street = await Outsider(province.broker.port).ready()
            try:
                await _everybody_cries(province, street, seq=1)
                await province.sees(province.all_is_told, "all is told")
                assert {address for address in ADDRESSES if city.last(address)} == set(ADDRESSES), "people of every shard have cried"
                await _a_core_dies_while_the_city_has_what_it_gave_no_receipt_for(province, street)
                await _somebody_moves_to_a_street_of_another_shard(province, street)
                _the_city_has_all_once_of_the_same_persons(province)
                file = tmp_path / "e0.toml"
                await _days_are_compared_shard_by_shard(province, file)
                await _what_was_told_can_be_told_again(province, file)
                await _a_key_of_one_machine_alone_is_noticed(file)
                (page,) = await pages(province, "")
                await _a_console_says_how_far_each_shard_is(province, page)
                await _each_journal_can_be_read_on(province, page)
                await _shards_without_a_core_are_told_from_their_tables(province, page)
            finally:
                street.close()
    finally:
        await city.stop()


async def _everybody_cries(province: Province, street: Outsider, seq: int) -> None:
    for number in range(PEOPLE):
        await press(province, street, number, seq)
    wanted = PEOPLE * seq
    await until(lambda: sum(len(cries) for cries in province.journal().values()) == wanted, f"{wanted} cries are on disk", START_S)


async def _a_core_dies_while_the_city_has_what_it_gave_no_receipt_for(province: Province, street: Outsider) -> None:
    """So its successor must send the same numbers again, with the same bytes, though the incidents have gone on meanwhile."""
    city = province.city
    city.is_deaf = True
    before = {address: city.last(address) for address in ADDRESSES}
    await _everybody_cries(province, street, seq=2)

    def kept() -> bool:
        mine = [province.without_receipt(name) for name in ("records", "events")]
        found = {**mine[0], **mine[1]}
        return len(found) == len(ADDRESSES) and all(before[address] < last <= city.last(address) for address, last in found.items())

    await until(kept, "the city has numbers of every shard that it gave no receipt for", START_S)
    owners = await province.owners()
    victim = next(names[0] for names in owners.values())
    orphans = [shard for shard, names in owners.items() if names == [victim]]
    province.kill(victim)
    await _everybody_cries(province, street, seq=3)
    await province.sees(partial(_owned, province, orphans), "its shards have another owner")
    at_death = {shard: city.last(f"/records/{shard}") for shard in orphans}
    city.is_deaf = False
    await province.sees(province.all_is_told, "all is told by the next owner")
    assert all(city.last(f"/records/{shard}") > number for shard, number in at_death.items()), "it goes on where the dead one was"
    assert city.conflicts == [], "a number never has two contents"


async def _owned(province: Province, shards: list[int]) -> bool:
    owners = await province.owners()
    return all(len(owners[shard]) == 1 for shard in shards)


async def _somebody_moves_to_a_street_of_another_shard(province: Province, street: Outsider) -> None:
    here = _shard_of_street(1)
    there = next(number for number in range(STREETS) if _shard_of_street(number) != here)
    file = province.folder / "districts" / "province" / "persons.csv"
    rows = file.read_text("utf-8").splitlines()
    file.write_text("\n".join(row.replace("street-1,", f"street-{there},") if row.startswith("p-1,") else row for row in rows) + "\n", "utf-8")
    for name in (*(core for core in province.cores if province.servers[core].is_running), "e0"):  # the core first: it must know whom it hears of
        part = province.servers[name]
        before = part.log.read_text().count(IN_FORCE)
        assert part.process is not None
        part.process.send_signal(signal.SIGHUP)
        await until(lambda part=part, before=before: part.log.read_text().count(IN_FORCE) > before, f"{name} has read the register", START_S)  # type: ignore[misc]
    await press(province, street, 1, seq=4)

    def told_in_both() -> bool:
        mine = {incident for incident, person in province.persons().items() if person == "p-1"}
        return mine <= province.city.pseudonyms().keys() and {(int(name[1:]) - 100_001) % SHARDS for name in mine} == {here, _shard_of_street(there)}

    await until(told_in_both, "the city has heard of p-1 by two shards", START_S)
    await province.sees(province.all_is_told, "all is told")


def _shard_of_street(street: int) -> int:
    return crc32(f"street-{street}".encode()) % SHARDS


def _the_city_has_all_once_of_the_same_persons(province: Province) -> None:
    city = province.city
    assert set(city.senders) == set(ADDRESSES)
    for address, copies in city.senders.items():
        assert sorted(copies) == list(range(1, len(copies) + 1)), f"{address}: no number is missing"
        assert {report["shard"] for report in map(_first, copies.values())} == {int(address.rpartition("/")[2])}
    assert (city.conflicts, city.unsigned) == ([], 0)
    persons, told = province.persons(), city.pseudonyms()
    assert told.keys() == persons.keys(), "every incident of every shard"
    known: dict[str, set[str]] = {}
    for incident, person in persons.items():
        known.setdefault(person, set()).update(told[incident])
    assert len(known) == PEOPLE
    assert [len(names) for names in known.values()] == [1] * PEOPLE, "a person is the same whichever core and shard tells"
    assert len(set.union(*known.values())) == PEOPLE, "and nobody else"
    assert not list(province.folder.glob("data*/pseudonym.key")), "no machine has made a key of its own"


def _first(copies: list[bytes]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(copies[0])
    return found


async def _days_are_compared_shard_by_shard(province: Province, file: Path) -> None:
    city = province.city
    for day in {report["day"] for report in city.reports}:
        found = _lines(await done(file, "upward", "reconcile", day))
        assert [(one["shard"], one["name"], one["outcome"]) for one in found] == [
            (shard, name, "equal") for shard in range(SHARDS) for name in ("records", "events")
        ]
    day = _first(city.senders["/records/1"].pop(1))["day"]
    code, told, why = await command(file, "upward", "reconcile", day, "records")
    assert (code, [(one["outcome"], one.get("lost")) for one in _lines(told)]) == (1, [("equal", None), ("unequal", [1]), ("equal", None)]), why
    city.shut = frozenset(("/records/0",))
    code, told, why = await command(file, "upward", "reconcile", day, "records", "--resend")
    assert (code, [(one["shard"], one["outcome"]) for one in _lines(told)]) == (1, [(1, "mended"), (2, "equal")]), "who is silent hides nobody"
    assert "records of shard 0 does not answer as it should (http_503)" in why
    city.shut = frozenset()
    await done(file, "upward", "reconcile", day, "records")


async def _what_was_told_can_be_told_again(province: Province, file: Path) -> None:
    city = province.city
    days = sorted({report["day"] for report in city.reports})
    before = {address: dict(copies) for address, copies in city.senders.items()}
    city.senders["/records/2"].clear()
    told = _lines(await done(file, "upward", "resend", "records", "--since", days[0], "--until", days[-1]))
    assert [(one["shard"], one["sent_again"]) for one in told] == [(shard, len(before[f"/records/{shard}"])) for shard in range(SHARDS)]
    assert (city.senders, city.conflicts) == (before, []), "the same numbers with the same bytes, each to its own address"
    status = _lines(await done(file, "upward", "status"))
    assert {f"/{one['name']}/{one['shard']}": one["received"] for one in status} == {address: city.last(address) for address in ADDRESSES}


async def _a_key_of_one_machine_alone_is_noticed(file: Path) -> None:
    """By the pseudonyms that were reported."""

    async def told(config: Path) -> Finding:
        found = await asyncio.to_thread(lambda: list(examine_file(str(config), only=("cluster",))))
        return next(one for one in found if one.what == "counterpart records")

    assert (await told(file)).word == "pseudonym_key_same"
    noticed = await told(_with_another_key(file))
    assert (noticed.word, noticed.facts["shards"]) == ("pseudonym_key_other", "shard 0, shard 1, shard 2")


def _with_another_key(file: Path) -> Path:
    other = file.with_name("other.toml")
    other.write_text(file.read_text().replace('"city.key"', '"other.key"'))
    file.with_name("other.key").write_text("an invented key of one machine")
    return other


async def _a_console_says_how_far_each_shard_is(province: Province, page: Page) -> None:
    rows = (await page.http.get("/api/v1/upward")).json()["destinations"]
    assert {(one["name"], one["shard"], one["failing"]): one["received"] for one in rows} == {
        (f"{name} · {shard}", shard, None): province.city.last(f"/{name}/{shard}") for name in ("records", "events") for shard in range(SHARDS)
    }


async def _each_journal_can_be_read_on(province: Province, page: Page) -> None:
    for query, wanted in (({}, (400, "missing_shard")), ({"shard": "3"}, (404, "unknown_shard"))):
        refused = await page.http.get("/api/v1/journal-feed", params=query)
        assert (refused.status_code, refused.json()["reason"], refused.json()["shards"]) == (*wanted, list(range(SHARDS)))
    cried: set[str] = set()
    for shard in range(SHARDS):
        after, lines = "0", []
        while True:
            answer = await page.http.get("/api/v1/journal-feed", params={"shard": shard, "after": after})
            assert answer.status_code == 200, answer.text
            lines += [json.loads(line) for line in answer.text.splitlines()]
            if answer.headers["x-next"] == after:
                break
            after = answer.headers["x-next"]
        assert {line["shard"] for line in lines} == {shard}
        assert [line["event"] for line in lines] == sorted({line["event"] for line in lines})
        cried |= {line["incident"] for line in lines if line["kind"] == "sos"}
    assert cried == province.persons().keys()


async def _shards_without_a_core_are_told_from_their_tables(province: Province, page: Page) -> None:
    for name in province.cores:
        province.kill(name)

    async def told() -> bool:
        answer = await page.http.get("/api/v1/upward")
        rows = answer.json()["destinations"] if answer.status_code == 200 else []
        return {f"/{one['name'].replace(' · ', '/')}": (one["received"], one["failing"]) for one in rows} == {
            address: (province.city.last(address), "no_core") for address in ADDRESSES
        }

    await province.sees(told, "what they have told, and that they have no core")
    assert (await page.http.get("/api/v1/journal-feed", params={"shard": 0})).status_code == 200


def _lines(printed: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in printed.splitlines()]
