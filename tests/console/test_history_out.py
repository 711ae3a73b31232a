"""What leaves the house: printouts, exports, recordings; and the log of who saw what. On record before, by right, never by a path from outside."""

import csv
import hashlib
import io
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import httpx
import msgspec
import pytest
from waiting import wait_until

from gateway.config import Config
from gateway.config.recordings import RecordingsConfig, recordings_faults
from gateway.console import export_routes
from gateway.console.recording_routes import RecordingRoutes
from gateway.console.recordings import RecordedCall, file_of, url_of
from gateway.core.incident import Action, Incident
from gateway.event import Kind
from tests.console.fake_house import CONFIG, FakeHouse
from tests.console.past import a_past, client_of, closes, does, house_with, recordings_in

STRANGER = "+8617400000099"  # in nobody's record
SOUND = {"content-type": "audio/x-wav"}


def noted(house: FakeHouse, kind: Kind) -> list[dict[str, object]]:
    return [facts for one, _, facts in house.notes if one is kind]


def last_month(house: FakeHouse, **more: object) -> dict[str, object]:
    period = {"from": (house.now() - timedelta(days=100)).isoformat(), "to": (house.now() + timedelta(minutes=1)).isoformat()}
    return {**period, "what": "incidents", "reason": "季度报告", **more}


# ---- printouts


async def test_a_printout_is_masked_or_full_by_right_with_a_reason_and_on_record_first() -> None:
    house = house_with(accounts=True)
    one, two, *_ = await a_past(house)
    person = house.register.persons["p000"]
    async with client_of(house, "lina") as client:
        masked = await client.post(f"/api/v1/incidents/{one.id}/print", json={})
        body = masked.json()
        assert masked.status_code == 200
        for secret in (person.name, person.address, person.phones[0], person.health_note):
            assert secret not in masked.text
        assert (body["printed"]["by"], body["printed"]["masked"], body["printed"]["district"], body["printed"]["area"]) == (
            "李娜",
            True,
            "红古区",
            "海石湾镇",
        )
        assert any(one["done"] and one["late"] for one in body["against"])  # nine minutes
        assert body["may"] is False
        assert (await client.post(f"/api/v1/incidents/{one.id}/print", json={"full": True, "reason": "法院调取"})).json()["reason"] == "not_owner"
        assert (await client.post(f"/api/v1/incidents/{two.id}/print", json={})).json()["reason"] == "foreign_area"
    async with client_of(house, "zhao") as client:
        assert (await client.post(f"/api/v1/incidents/{one.id}/print", json={"full": True})).json()["reason"] == "missing_reason"
        full = await client.post(f"/api/v1/incidents/{one.id}/print", json={"full": True, "reason": "法院调取"})
        body = full.json()
        assert (body["person"]["name"], body["person"]["address"]) == (person.name, person.address)
        assert body["numbers"]["phones"] == list(person.phones)
        assert "identity" not in full.text
        house.store_down = True
        failed = await client.post(f"/api/v1/incidents/{one.id}/print", json={"full": True, "reason": "法院调取"})
        assert failed.status_code == 503
        assert person.name not in failed.text
    assert [(facts["what"], facts["masked"], facts["reason"]) for facts in noted(house, Kind.EXPORTED)] == [
        ("printout", True, ""),
        ("printout", False, "法院调取"),
    ]


async def test_the_owner_of_an_open_incident_may_print_it_in_full() -> None:
    house = house_with(accounts=True)
    mine = await does(house, Action.ACKNOWLEDGE, await house.cries(0))
    others = await does(house, Action.ACKNOWLEDGE, await house.cries(2), "周敏")
    async with client_of(house, "lina") as client:
        for one, expected in ((mine, 200), (others, 403)):
            reply = await client.post(f"/api/v1/incidents/{one.id}/print", json={"full": True, "reason": "救护车带走"})
            assert reply.status_code == expected
        assert (await client.post("/api/v1/incidents/I999999/print", json={})).status_code == 404
        assert (await client.post(f"/api/v1/incidents/{mine.id}/print", json={"full": "yes"})).status_code == 400


# ---- exports


async def test_an_export_is_on_record_with_its_hash_before_it_can_be_fetched_once() -> None:
    house = house_with(accounts=True)
    await a_past(house)
    async with client_of(house, "zhao") as client:
        reply = await client.post("/api/v1/exports", json=last_month(house))
        body = reply.json()
        [facts] = noted(house, Kind.EXPORTED)
        assert (facts["rows"], facts["sha256"], facts["reason"], facts["areas"]) == (5, body["sha256"], "季度报告", ["haishiwan"])
        assert body["ticket"] not in str(house.notes)
        file = await client.get(f"/api/v1/exports/{body['ticket']}")
        assert (file.status_code, hashlib.sha256(file.content).hexdigest()) == (200, body["sha256"])
        assert file.headers["content-disposition"].startswith('attachment; filename="12349-incidents-')
        assert file.content.startswith(b"\xef\xbb\xbf")
        rows = list(csv.DictReader(io.StringIO(file.content.decode("utf-8-sig"))))
        assert len(rows) == 5
        assert {row["area_name"] for row in rows} == {"海石湾镇"}
        for person in house.register.persons.values():
            assert person.name not in file.text
            assert person.address not in file.text
        assert (await client.get(f"/api/v1/exports/{body['ticket']}")).json() == {"reason": "unknown_ticket"}
        listed = (await client.get("/api/v1/exports")).json()
        assert [(row["actor"], row["what"], row["reason"], row["detail"]["rows"]) for row in listed["exports"]] == [
            ("赵敏", "incidents", "季度报告", 5)
        ]
        assert listed["may"] == ["incidents", "journal", "calls"]


async def test_a_ticket_is_good_for_one_browser_and_a_minute() -> None:
    house, now = house_with(accounts=True), [0.0]
    await a_past(house)
    async with client_of(house, "zhao") as client:
        ticket = (await client.post("/api/v1/exports", json=last_month(house))).json()["ticket"]
        cookie = client.cookies["session"]
        other = client.app.state.console.sessions.open()  # type: ignore[attr-defined]
        other.login = "chief"
        client.cookies.set("session", other.token)
        assert (await client.get(f"/api/v1/exports/{ticket}")).json() == {"reason": "unknown_ticket"}
        client.cookies.clear()
        client.cookies.set("session", cookie)
        assert (await client.get(f"/api/v1/exports/{ticket}")).status_code == 200
    dropped: list[str] = []
    tickets = export_routes.Tickets[str](lambda: now[0], 60.0, dropped.append)
    first = tickets.give("browser", "file")
    now[0] = 60.0
    with pytest.raises(export_routes.Refused):
        tickets.take(first, "browser")
    assert dropped == ["file"]


async def test_who_may_take_what_out() -> None:
    house = house_with(accounts=True)
    await a_past(house)
    allowed = {
        "zhao": {("incidents", True), ("incidents", False), ("journal", True), ("journal", False), ("calls", True), ("calls", False)},
        "audit": {("audit", True)},
        "lina": set(),
        "tech": set(),
    }
    for login, may in allowed.items():
        async with client_of(house, login) as client:
            for what in export_routes.SCOPES:
                for masked in (True, False):
                    reply = await client.post("/api/v1/exports", json=last_month(house, what=what, masked=masked))
                    assert reply.status_code == (200 if (what, masked) in may else 403), (login, what, masked, reply.text)


async def test_full_data_and_json_lines_and_no_formula() -> None:
    house = house_with()
    mean = msgspec.structs.replace(house.register.persons["p000"], name='=HYPERLINK("http://x")')
    house.register.persons["p000"] = mean
    await closes(house, 0, note="=1+1")
    await house.calls_in("+8619900000003", Kind.CALL_RINGING, "c9")
    await house.calls_in("+8619900000003", Kind.CALL_ABANDONED, "c9")
    async with client_of(house) as client:

        async def take(**more: object) -> str:
            body = (await client.post("/api/v1/exports", json=last_month(house, **more))).json()
            return (await client.get(f"/api/v1/exports/{body['ticket']}")).content.decode("utf-8-sig")

        rows = list(csv.DictReader(io.StringIO(await take(masked=False))))
        assert rows[0]["name"] == '\'=HYPERLINK("http://x")'
        assert rows[0]["address"] == mean.address
        for what in export_routes.SCOPES:
            text = await take(what=what, masked=what == "audit")
            for row in csv.reader(io.StringIO(text)):
                assert not any(cell.startswith(("=", "+", "-", "@", "\t")) for cell in row), row
        calls = [json.loads(line) for line in (await take(what="calls", format="jsonl", masked=True)).splitlines()]
        assert [(one["kind"], one["caller"], one["hotline"]) for one in calls] == [("call_abandoned", "199****0003", "12349")]
        journal = [json.loads(line) for line in (await take(what="journal", format="jsonl")).splitlines()]
        assert {"sos", "acknowledge", "note", "resolve"} <= {one["kind"] for one in journal}
        assert mean.name not in json.dumps(journal, ensure_ascii=False)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"what": "persons"}, "bad_what"),
        ({"format": "xls"}, "bad_format"),
        ({"masked": "no"}, "bad_masked"),
        ({"reason": " "}, "missing_reason"),
        ({"from": "x"}, "bad_from"),
        ({"to": None}, "bad_period"),
        ({"from": "2020-01-01T00:00:00+08:00"}, "period_too_long"),
        ({"to": "2020-01-01T00:00:00+08:00"}, "bad_period"),
        ({"path": "/etc/passwd"}, "unknown_field"),
    ],
)
async def test_an_export_that_makes_no_sense(change: dict[str, object], reason: str) -> None:
    house = house_with()
    async with client_of(house) as client:
        assert (await client.post("/api/v1/exports", json=last_month(house, **change))).json()["reason"] == reason
    assert not noted(house, Kind.EXPORTED)


async def test_an_export_that_is_too_long_is_cut_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_routes, "ROWS_AT_MOST", 3)
    house = house_with()
    await a_past(house)
    async with client_of(house) as client:
        body = (await client.post("/api/v1/exports", json=last_month(house, format="jsonl"))).json()
        assert (body["rows"], body["cut"]) == (3, True)
        assert len((await client.get(f"/api/v1/exports/{body['ticket']}")).text.splitlines()) == 3


async def test_what_cannot_be_journalled_cannot_be_fetched() -> None:
    house = house_with()
    await a_past(house)
    async with client_of(house) as client:
        house.archive  # noqa: B018 - there before the disk is full
        house.store_down = True
        assert (await client.post("/api/v1/exports", json=last_month(house))).json() == {"reason": "store_down"}


# ---- the log


async def test_the_log_is_the_auditors_and_reading_it_is_in_it() -> None:
    house = house_with(accounts=True)
    one, *_ = await a_past(house)
    async with client_of(house, "zhao") as client:
        await client.post("/api/v1/history", json={"person": "p000"})
        await client.post(f"/api/v1/incidents/{one.id}/print", json={"full": True, "reason": "电话 13800001111"})
        assert (await client.get("/api/v1/audit")).json() == {"reason": "no_right"}
        assert (await client.post("/api/v1/audit/verify", json={})).json() == {"reason": "no_right"}
    async with client_of(house, "audit") as client:
        body = (await client.get("/api/v1/audit")).json()
        first, second = body["entries"]
        assert (first["kind"], first["actor"], first["role"], first["object"]) == ("exported", "赵敏", "supervisor", f"{one.id} person:p000")
        assert first["reason"] == "电话 138****1111"
        assert (second["kind"], second["field"], second["result"]) == ("searched", "person", 5 - 2)
        again = (await client.post("/api/v1/audit", json={"kinds": ["searched"]})).json()["entries"]
        assert [(row["kind"], row["what"]) for row in again] == [("searched", "audit"), ("searched", "history")]
        assert (await client.post("/api/v1/audit", json={"actor": "赵", "about": one.id})).json()["entries"][0]["seq"] == first["seq"]
        for body, reason in (
            ({"kinds": ["sos"]}, "bad_kinds"),
            ({"after": 0}, "bad_after"),
            ({"since": "x"}, "bad_since"),
            ({"x": 1}, "unknown_field"),
        ):
            assert (await client.post("/api/v1/audit", json=body)).json()["reason"] == reason


async def test_the_chain_is_proven_once_at_a_time_and_a_forgery_is_named() -> None:
    house = house_with(accounts=True)
    await a_past(house)
    async with client_of(house, "audit") as client:
        assert (await client.get("/api/v1/audit/verify")).json()["proof"] is None
        first = (await client.post("/api/v1/audit/verify", json={})).json()["proof"]
        assert first["ended"] is None
        second = (await client.post("/api/v1/audit/verify", json={})).json()["proof"]
        assert first["began"] == second["began"]

        async def proof() -> dict[str, object]:
            said = len(noted(house, Kind.AUDIT))
            await client.post("/api/v1/audit/verify", json={})
            await wait_until(lambda: len(noted(house, Kind.AUDIT)) > said)
            body: dict[str, object] = (await client.get("/api/v1/audit/verify")).json()["proof"]
            return body

        entries = len(house.journal) + len(house.notes)
        await wait_until(lambda: bool(noted(house, Kind.AUDIT)))
        done = (await client.get("/api/v1/audit/verify")).json()["proof"]
        assert (done["broken_at"], done["proven"], done["by"]) == (None, entries, "吴审计")
        with house.archive._engine.begin() as connection:
            connection.exec_driver_sql("UPDATE journal SET actor = 'somebody else' WHERE seq = 3")
        done = await proof()
        assert (done["broken_at"], done["reason"]) == (3, "digest")
    assert noted(house, Kind.AUDIT)[1]["broken_at"] == 3


# ---- recordings


def with_recordings(folder: Path, **more: object) -> Config:
    return msgspec.structs.replace(CONFIG, recordings=RecordingsConfig(folder=str(folder), pattern="*-{call}.wav", **more))  # type: ignore[arg-type]


async def a_call(house: FakeHouse, call: str = "c1", person: int = 0) -> Incident:
    caller = house.register.persons[f"p{person:03}"].phones[0]
    for kind in (Kind.CALL_RINGING, Kind.CALL_ANSWERED, Kind.CALL_ENDED):
        await house.calls_in(caller, kind, call, "8001")
    one = next(one for one in reversed(house.incidents.values()) if one.person == f"p{person:03}")
    return await does(house, Action.ACKNOWLEDGE, one)


async def test_a_recording_is_played_by_right_with_a_reason_by_range_and_on_record(tmp_path: Path) -> None:
    files = recordings_in(tmp_path)
    house = house_with(with_recordings(tmp_path), accounts=True)
    one = await a_call(house)
    async with client_of(house, "lina") as client:
        listed = (await client.get(f"/api/v1/incidents/{one.id}/recordings")).json()
        assert (listed["may"], [(row["call"], row["state"], row["answered"]) for row in listed["recordings"]]) == (True, [("c1", "there", True)])
        assert str(tmp_path) not in str(listed)
        assert (await client.post(f"/api/v1/incidents/{one.id}/listen", json={"call": "c1"})).json()["reason"] == "missing_reason"
        assert not noted(house, Kind.LISTENED)
        body = (await client.post(f"/api/v1/incidents/{one.id}/listen", json={"call": "c1", "reason": "核对地址"})).json()
        [facts] = noted(house, Kind.LISTENED)
        assert (facts["incident"], facts["call"], facts["reason"]) == (one.id, "c1", "核对地址")
        path, whole = f"/api/v1/recordings/{body['ticket']}", files["c1"].read_bytes()
        answer = await client.get(path)
        assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, "audio/wav", whole)
        for asked, first, last in (("bytes=0-9", 0, 9), ("bytes=100-", 100, len(whole) - 1), ("bytes=-5", len(whole) - 5, len(whole) - 1)):
            part = await client.get(path, headers={"range": asked})
            assert (part.status_code, part.content) == (206, whole[first : last + 1])
            assert part.headers["content-range"] == f"bytes {first}-{last}/{len(whole)}"
        assert (await client.get(path, headers={"range": f"bytes={len(whole)}-"})).status_code == 416
        assert (await client.get(path, headers={"range": "bytes=0-1,5-6"})).content == whole
        assert len(noted(house, Kind.LISTENED)) == 1
        cookie = client.cookies["session"]
        other = client.app.state.console.sessions.open()  # type: ignore[attr-defined]
        other.login = "lina"
        client.cookies.set("session", other.token)
        assert (await client.get(path)).json() == {"reason": "unknown_ticket"}
        assert cookie != other.token


async def test_who_may_listen(tmp_path: Path) -> None:
    recordings_in(tmp_path)
    house = house_with(with_recordings(tmp_path), accounts=True)
    one = await a_call(house)
    wish = {"call": "c1", "reason": "核对"}
    for login, status in (("lina", 200), ("zhao", 200), ("chief", 200), ("audit", 403), ("tech", 403)):
        async with client_of(house, login) as client:
            assert (await client.post(f"/api/v1/incidents/{one.id}/listen", json=wish)).status_code == status, login
    closed = await does(house, Action.STEP, one, step="call_person")
    closed = await does(house, Action.RESOLVE, closed, outcome="helped")
    closed = await does(house, Action.CALL_BACK, closed, satisfaction=5)
    async with client_of(house, "lina") as client:
        assert (await client.post(f"/api/v1/incidents/{closed.id}/listen", json=wish)).json()["reason"] == "not_owner"
        assert (await client.get(f"/api/v1/incidents/{closed.id}/recordings")).json()["may"] is False


async def test_no_way_to_any_other_file(tmp_path: Path) -> None:
    folder, outside = tmp_path / "monitor", tmp_path / "secret.wav"
    folder.mkdir()
    outside.write_bytes(b"RIFF secret")
    (folder / "link-c2.wav").symlink_to(outside)
    (folder / "c3.txt").write_bytes(b"no sound")
    (folder / "x-empty.wav").touch()
    recordings_in(folder)
    config = RecordingsConfig(folder=str(folder), pattern="*-{call}.wav")
    at = FakeHouse().now()

    def find(key: str = "nothing", file: str = "", pattern: str = "*-{call}.wav") -> Path | None:
        one = RecordedCall(key=key, at=at, until=at, file=file)
        return file_of(msgspec.structs.replace(config, pattern=pattern), tmp_path, one)

    assert find("c1") is not None
    assert find("../secret") is None
    assert find("..") is None
    assert find("*") is None  # what is a pattern in a name is not one here
    assert find("c?") is None
    assert find("c2") == (folder / "20261122-c2.wav").resolve()  # not the link that leads out
    assert find(file=str(outside)) is None
    assert find(file="../secret.wav") is None
    assert find(file="/etc/passwd") is None
    assert find(file="a\x00b.wav") is None
    assert find(file="c3.txt") is None
    assert find("empty") is None
    assert find(file="/var/spool/asterisk/monitor/20261122-c1.wav") == (folder / "20261122-c1.wav").resolve()  # mounted elsewhere here
    house = house_with(with_recordings(folder))
    one = await a_call(house)
    async with client_of(house) as client:
        for call in ("../secret", "/etc/passwd", "c2", "*"):
            reply = await client.post(f"/api/v1/incidents/{one.id}/listen", json={"call": call, "reason": "试试"})
            assert reply.json()["reason"] == "unknown_call", call
        assert (await client.post(f"/api/v1/incidents/{one.id}/listen", json={"call": "c1", "reason": "试试", "path": "x"})).json()[
            "reason"
        ] == "unknown_field"
        for ticket in ("x", "..%2f..%2fsecret.wav", "%2e%2e"):
            assert (await client.get(f"/api/v1/recordings/{ticket}")).status_code in (404,)


async def test_there_not_and_expired(tmp_path: Path) -> None:
    recordings_in(tmp_path)
    house = house_with(with_recordings(tmp_path, days=30))
    house.offset = -timedelta(days=31)
    old = await a_call(house, "c1", 0)
    house.offset = timedelta()
    new = await a_call(house, "c7", 2)
    async with client_of(house) as client:
        states = [(await client.get(f"/api/v1/incidents/{one.id}/recordings")).json()["recordings"][0]["state"] for one in (old, new)]
        assert states == ["expired", "not"]
        for one, call, reason in ((old, "c1", "recording_expired"), (new, "c7", "no_recording")):
            assert (await client.post(f"/api/v1/incidents/{one.id}/listen", json={"call": call, "reason": "核对"})).json()["reason"] == reason
    nothing = house_with()
    one = await a_call(nothing)
    async with client_of(nothing) as client:
        body = (await client.get(f"/api/v1/incidents/{one.id}/recordings")).json()
        assert (body["on"], body["recordings"]) == (False, [])


async def test_over_the_exchanges_web_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server fetches; what is no sound, or leads elsewhere, is not passed on."""
    (tmp_path / "token").write_text("s3cret\n")
    recordings = RecordingsConfig(url="http://pbx.lan/rec/{call}.wav", token_file=str(tmp_path / "token"))
    sound, asked = bytes(range(200)), []

    def pbx(request: httpx.Request) -> httpx.Response:
        asked.append((request.method, request.url.path, request.headers.get("range"), request.headers["authorization"]))
        if request.url.path == "/rec/page.wav":
            return httpx.Response(200, headers={"content-type": "text/html"}, stream=httpx.ByteStream(b"<script>"))
        if request.url.path == "/rec/away.wav":
            raise httpx.ConnectError("refused", request=request)
        if request.url.path == "/rec/moved.wav":
            return httpx.Response(302, headers={"location": "http://127.0.0.1/"})
        if "range" in request.headers:
            return httpx.Response(206, headers=SOUND | {"content-range": "bytes 5-9/200"}, stream=httpx.ByteStream(sound[5:10]))
        return httpx.Response(200, headers={"content-type": "audio/x-wav", "set-cookie": "a=b"}, stream=httpx.ByteStream(sound))

    made: Callable[..., RecordingRoutes] = lambda *given: RecordingRoutes(*given, transport=httpx.MockTransport(pbx))  # noqa: E731
    monkeypatch.setattr("gateway.console.http.RecordingRoutes", made)
    house = house_with(msgspec.structs.replace(CONFIG, recordings=recordings))
    incidents = {call: await a_call(house, call, n) for n, call in ((0, "c1"), (1, "page"), (2, "away"), (4, "moved"))}
    async with client_of(house) as client:
        for call, expected in (("c1", "there"), ("page", "not"), ("away", "not"), ("moved", "not")):
            body = (await client.get(f"/api/v1/incidents/{incidents[call].id}/recordings")).json()
            assert {row["call"]: row["state"] for row in body["recordings"]}[call] == expected
            assert "pbx.lan" not in str(body)
        assert asked[0] == ("HEAD", "/rec/c1.wav", None, "Bearer s3cret")
        for call, status in (("c1", 200), ("page", 404), ("away", 503), ("moved", 404)):
            ticket = (await client.post(f"/api/v1/incidents/{incidents[call].id}/listen", json={"call": call, "reason": "核对"})).json()["ticket"]
            answer = await client.get(f"/api/v1/recordings/{ticket}")
            assert answer.status_code == status, call
            if call == "c1":
                assert (answer.content, answer.headers["content-type"], "set-cookie" in answer.headers) == (sound, "audio/x-wav", False)
                part = await client.get(f"/api/v1/recordings/{ticket}", headers={"range": "bytes=5-9"})
                assert (part.status_code, part.content, part.headers["content-range"]) == (206, sound[5:10], "bytes 5-9/200")
    at = house.now()
    assert url_of(recordings, RecordedCall(key="a@b", at=at, until=at)) == "http://pbx.lan/rec/a%40b.wav"
    assert url_of(recordings, RecordedCall(key="../admin?x", at=at, until=at)) is None


@pytest.mark.parametrize(
    ("config", "key"),
    [
        (RecordingsConfig(folder="a", url="http://b/{call}"), "url"),
        (RecordingsConfig(folder="a", pattern="../{call}.wav"), "pattern"),
        (RecordingsConfig(folder="a", pattern="/{call}.wav"), "pattern"),
        (RecordingsConfig(folder="a", pattern="{call}.exe"), "pattern"),
        (RecordingsConfig(folder="a", pattern="all.wav"), "pattern"),
        (RecordingsConfig(folder="a", pattern="{call.__class__}.wav"), "pattern"),
        (RecordingsConfig(folder="a", pattern="{caller}.wav"), "pattern"),
        (RecordingsConfig(folder="a", pattern="{call.wav"), "pattern"),
        (RecordingsConfig(url="file:///etc/{call}"), "url"),
        (RecordingsConfig(url="http://{call}/x"), "url"),
        (RecordingsConfig(folder="a", token_file="x"), "token_file"),
    ],
)
def test_a_configuration_that_leads_astray_is_refused(config: RecordingsConfig, key: str) -> None:
    assert key in [keys[0] for keys, _, _ in recordings_faults(config)]


def test_good_configurations() -> None:
    for config in (
        RecordingsConfig(),
        RecordingsConfig(folder="/var/spool/asterisk/monitor", pattern="{year}/{month}/{day}/*{exchange_call}*.wav"),
        RecordingsConfig(url="https://pbx.lan/rec/{call_id}", token_file="token"),
    ):
        assert list(recordings_faults(config)) == []


async def test_calls_of_people_elsewhere_are_not_taken_out() -> None:
    """A call that became no incident is everybody's only while nobody knows whose it is."""
    house = house_with(accounts=True)
    here, elsewhere = (house.register.persons[name].phones[0] for name in ("p000", "p001"))
    for key, number in (("c1", here), ("c2", elsewhere), ("c3", STRANGER)):
        await house.calls_in(number, Kind.CALL_FAILED, key)
    taken = dict[str, list[str]]()
    for login in ("zhao", "chief"):
        async with client_of(house, login) as client:
            body = (await client.post("/api/v1/exports", json=last_month(house, what="calls", format="jsonl", masked=False))).json()
            rows = (await client.get(f"/api/v1/exports/{body['ticket']}")).text.splitlines()
            taken[login] = [json.loads(row)["caller"] for row in rows]
    assert taken == {"zhao": [here, STRANGER], "chief": [here, elsewhere, STRANGER]}
