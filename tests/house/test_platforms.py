"""Other platforms file matters with a whole gateway over real HTTP, and hear by web hook what became of them."""

import asyncio
import contextlib
import hashlib
import hmac
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import msgspec
import pytest
from waiting import free_port, wait_until

from gateway.app import House
from gateway.config import read_config
from gateway.core.command import Command
from gateway.core.incident import Action, State
from gateway.core.register import Area, AreaKind, Device, Person, Register, Responder, ResponderKind
from gateway.event import Event, Kind
from simulators.municipal import Municipal

SECRETS = {"province": b"an invented secret of a province", "district-app": b"an invented secret of an app"}
HOOK = b"an invented secret of a web hook"
REGISTER = Register(
    district="invented",
    areas=[Area(id="haishiwan", name="haishiwan", kind=AreaKind.TOWN, lat=36.34, lon=102.88)],
    responders=[Responder(id="desk", name="desk", kind=ResponderKind.DESK, channel="console", capacity=1000)],
    persons=[
        Person(id="wang", name="Invented Wang", area="haishiwan", lat=36.34, lon=102.88, phones=("+8617400000021",)),
        Person(id="li", name="Invented Li", area="haishiwan", phones=("+8617400000022",)),
        Person(id="zhao", name="Invented Zhao", area="haishiwan", phones=("+8617400000023",)),
        Person(id="sun", name="Invented Sun", area="haishiwan", phones=("+8617400000023",)),
    ],
    devices=[Device(id="w-wang", line="wearables", person="wang"), Device(id="w-li", person="li")],
    version="test",
)


class Platform:
    """As one is written that read the guide: the standard library's HMAC, and a clock."""

    def __init__(self, name: str, base: str) -> None:
        self.name = name
        self.path = f"/api/v1/platforms/{name}"
        self.http = httpx.AsyncClient(base_url=base, trust_env=False)

    def headers(self, content: bytes, at: float | None = None) -> dict[str, str]:
        timestamp = str(int(time.time() if at is None else at))
        return {
            "X-Timestamp": timestamp,
            "X-Signature": "sha256=" + hmac.new(SECRETS[self.name], timestamp.encode() + b"." + content, hashlib.sha256).hexdigest(),
        }

    async def files(self, **record: object) -> tuple[int, dict[str, object]]:
        return await self.posts(msgspec.json.encode(record))

    async def posts(self, body: bytes, **changed: str) -> tuple[int, dict[str, object]]:
        reply = await self.http.post(f"{self.path}/incidents", content=body, headers=self.headers(body) | changed)
        return reply.status_code, reply.json()

    async def asks(self, external: str, query: str = "") -> tuple[int, dict[str, object]]:
        path = f"{self.path}/incidents/{external}{query}"
        reply = await self.http.get(path, headers=self.headers(f"GET {path}".encode()))
        return reply.status_code, reply.json()

    async def says_who(self, external: str, **person: object) -> int:
        path = f"{self.path}/persons/{external}"
        body = msgspec.json.encode({"person": person})
        reply = await self.http.put(path, content=body, headers=self.headers(f"PUT {path}\n".encode() + body))
        return reply.status_code


class Place:
    """The gateway's folder and port, two platforms, and a web hook of the province's."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.hook = Municipal(HOOK)
        self.folder = folder
        (folder / "districts" / "honggu").mkdir(parents=True)
        for name, secret in {**SECRETS, "hook": HOOK}.items():
            (folder / f"{name}.secret").write_bytes(secret + b"\n")
        self.province, self.app = (Platform(name, f"http://127.0.0.1:{self.port}") for name in SECRETS)

    def write(self) -> None:
        (self.folder / "gateway.toml").write_text(
            f'[gateway]\ndata = "var"\n[console]\naccounts = false\nlisten = "127.0.0.1:{self.port}"\n'
            '[[platform]]\nname = "province"\nsecret_file = "province.secret"\n'
            '[[platform]]\nname = "district-app"\nsecret_file = "district-app.secret"\nkinds = ["sos", "fall", "service_request"]\nper_minute = 2\n'
            f'[[subscriber]]\nname = "province-hook"\nurl = "http://127.0.0.1:{self.hook.port}/changes"\nsecret_file = "hook.secret"\n'
            'platform = "province"\n'
        )

    @contextlib.asynccontextmanager
    async def runs(self) -> AsyncIterator[House]:
        house = House(read_config(self.folder / "gateway.toml"), REGISTER)
        stop = asyncio.Event()
        running = asyncio.create_task(house.run(stop))
        try:
            await wait_until(lambda: _listens(self.port) or running.done(), "the console answers")
            assert not running.done(), running.exception()
            yield house
        finally:
            stop.set()
            await running


def _listens(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    one = Place(tmp_path)
    await one.hook.start()
    one.write()
    yield one
    await one.province.http.aclose()
    await one.app.http.aclose()
    await one.hook.stop()


def rejected(house: House, reason: str) -> float:
    return house.metrics.registry.get_sample_value("gateway_rejected_total", {"line": "platforms", "reason": reason}) or 0.0


async def press(house: House, device: str) -> None:
    now = datetime.now(UTC)
    await house.receive([Event(kind=Kind.SOS, line="wearables", device=device, received_at=now, occurred_at=now)])


async def test_the_same_cry_from_two_platforms_and_a_wearable_is_one_incident(place: Place) -> None:
    async with place.runs() as house:
        number = hmac.new(SECRETS["province"], b"+8617400000021", hashlib.sha256).hexdigest()
        status, said = await place.province.files(id="P-1", kind="fall", person={"phone_hmac": number}, note="told by her neighbour")
        assert (status, said["filed"], said["status"]) == (201, "stored", "ordered")
        await press(house, "w-wang")
        status, other = await place.app.files(id="A-9", kind="sos", person={"device": "w-wang"})
        assert (status, other["incident"]) == (201, said["incident"])
        (incident,) = house.incidents.values()
        assert (incident.person, incident.kind, incident.externals) == ("wang", Kind.FALL, ("province:P-1", "district-app:A-9"))
        filed = [(one.of, one.ref) for one in incident.sources if one.way == "platform"]
        assert filed == [("province", "P-1"), ("district-app", "A-9")]
        assert incident.cries == 3, "each cry sounds: none is swallowed"
        status, found = await place.app.asks("A-9")
        assert (status, found["incident"]) == (200, incident.id)
        assert await place.app.asks("P-1") == (404, {"reason": "unknown_incident"}), "what another one filed is none of its business"
        assert house.metrics.registry.get_sample_value("gateway_unaccounted", {"line": "platforms"}) == 0


async def test_the_same_again_is_the_same_incident_and_more_about_it_joins_without_a_sound(place: Place) -> None:
    async with place.runs() as house:
        record = {"id": "P-2", "kind": "fall", "person": {"register": "li"}}
        status, first = await place.province.files(**record)
        again, same = await place.province.files(**record)
        assert (status, again) == (201, 200)
        assert same == first | {"filed": "known", "changed_at": same["changed_at"]}, "a retry gets the same answer; its order may have left meanwhile"
        await place.province.files(**record, note="she is awake")
        (incident,) = house.incidents.values()
        assert (incident.cries, incident.entries) == (1, 2)
        await place.province.files(**record, note="she cries again", again=True)
        (incident,) = house.incidents.values()
        assert (incident.cries, incident.entries) == (2, 3)
        await house.command(Command(action=Action.ACKNOWLEDGE, actor="Li Na", incident=incident.id))
        assert (await place.province.asks("P-2"))[1]["status"] in ("in_hand", "ordered")
        await house.command(
            Command(
                action=Action.RESOLVE,
                actor="Li Na",
                incident=incident.id,
                facts={"outcome": "helped", "override": "no step of its plan is meant here"},
            )
        )
        await house.command(Command(action=Action.CALL_BACK, actor="Li Na", incident=incident.id, facts={"satisfaction": 5}))
        assert house.incidents[incident.id].state is State.CLOSED
    async with place.runs() as house:
        status, known = await place.province.files(**record)
        assert (status, known["filed"], known["incident"], known["status"], known["outcome"]) == (200, "known", incident.id, "closed", "helped")
        assert (await place.province.asks("P-2", "?trace=1&x=%2F"))[0] == 200, "the query is signed as it stands in the request line"
        assert (await place.province.asks("P-2"))[1]["incident"] == incident.id, "found after a restart, and when it is closed"


async def test_the_platform_hears_what_became_of_its_matter_and_of_no_other(place: Place) -> None:
    async with place.runs() as house:
        await press(house, "w-wang")
        _, said = await place.province.files(id="P-3", kind="sos", person={"register": "li"})
        await house.command(Command(action=Action.ACKNOWLEDGE, actor="Li Na", incident=str(said["incident"])))
        await house.command(
            Command(
                action=Action.RESOLVE,
                actor="Li Na",
                incident=str(said["incident"]),
                facts={"outcome": "helped", "override": "no step of its plan is meant here"},
            )
        )
        await wait_until(lambda: any(report["kind"] == "resolve" for report in place.hook.reports), "the web hook heard")
        assert {report["incident"] for report in place.hook.reports} == {said["incident"]}
        assert all(report["externals"] == ["P-3"] for report in place.hook.reports)
        told = msgspec.json.encode(place.hook.reports).decode()
        assert not any(word in told for word in ('li"', "Li Na", "Invented", "+86")), "no person and no operator is in it"
        assert place.hook.reports[-1]["outcome"] == "helped"


async def test_whom_it_is_about_can_be_said_in_their_own_words(place: Place) -> None:
    async with place.runs() as house:
        assert await place.province.says_who("R-77", phone="+8617400000022") == 200
        assert await place.province.says_who("R-78", phone="+8617400000023") == 404, "two people have this number"
        await place.province.files(id="P-4", kind="sos", person={"external": "R-77"})
        await place.province.files(id="P-5", kind="sos", person={"phone": "+8617400000023"})
        await place.province.files(id="P-6", kind="smoke", area="haishiwan", place={"lat": 36.345, "lon": 102.885, "datum": "gcj02"})
        four, five, six = (house.incidents[name] for name in sorted(house.incidents))
        assert (four.person, five.person, five.candidates) == ("li", None, ("sun", "zhao"))
        assert (six.person, six.area) == (None, "haishiwan")
        assert six.position is not None
        assert six.position.lon == pytest.approx(102.8834, abs=0.0005), "converted at the door"


async def test_what_is_refused_has_a_reason_and_is_kept(place: Place) -> None:
    async with place.runs() as house:
        province = place.province
        body = msgspec.json.encode({"id": "P-7", "kind": "sos"})
        assert await province.posts(body + b" ", **province.headers(body)) == (401, {"reason": "bad_signature"})
        old = province.headers(body, time.time() - 301)
        status, said = await province.posts(body, **old)
        assert (status, said["reason"]) == (401, "stale"), "what was recorded cannot be played back later"
        stranger = Platform("province", f"http://127.0.0.1:{place.port}")
        stranger.path = "/api/v1/platforms/nobody"
        assert await stranger.posts(body) == (401, {"reason": "bad_signature"}), "nobody learns which platforms there are"
        await stranger.http.aclose()
        for record, reason in (
            ({"id": "P-8", "kind": "tea"}, "unknown_kind"),
            ({"id": "P 8", "kind": "sos"}, "bad_record"),
            ({"id": "P-8", "kind": "sos", "phone": "+8617400000021"}, "bad_record"),
            ({"id": "P-8", "kind": "sos", "at": "2026-11-22T08:00:00"}, "bad_time"),
        ):
            status, said = await province.files(**record)
            assert (status, said["reason"]) == (400, reason)
            assert "+86" not in str(said)
        status, said = await place.app.files(id="A-1", kind="smoke")
        assert (status, said["reason"]) == (400, "kind_not_allowed")
        assert [rejected(house, reason) for reason in ("bad_signature", "stale", "unknown_kind", "bad_record", "kind_not_allowed")] == [2, 1, 1, 2, 1]
        assert not house.incidents


async def test_a_flood_of_wishes_is_slowed_and_no_alarm_is(place: Place) -> None:
    async with place.runs() as house:
        wish = {"kind": "service_request", "person": {"register": "li"}, "service": "meals"}
        statuses = [(await place.app.files(id=f"W-{number}", **wish))[0] for number in range(4)]
        assert statuses == [201, 201, 429, 429]
        alarms = [(await place.app.files(id=f"S-{number}", kind="sos", person={"register": "wang"}))[0] for number in range(10)]
        assert alarms == [201] * 10
        assert sorted(one.kind for one in house.incidents.values()) == ["service_request", "service_request", "sos"]
        assert (await place.app.asks("W-1"))[1]["kind"] == "service_request"
