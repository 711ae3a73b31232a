"""What leaves, by kind of destination: least data, each its own, and the same for the same entry."""

import zlib
from pathlib import Path

import msgspec
import pytest

from gateway.config.upward import CounterpartConfig, SubscriberConfig
from gateway.core.platforms import known_as
from gateway.event import Kind
from gateway.store.reports import Entry
from gateway.upward.adapters import adapter_of, pseudonym
from tests.upward.told import KEY, SECRET, StoredRoom, Told, city, counterpart

TYPED = "wangxiaohong says 13800000001"


async def life(room: StoredRoom) -> str:
    """An incident in which people write what must not leave."""
    room.press("w-wang")
    name = room.only.id
    room.do("acknowledge", name, actor="wangfang")
    room.do("note", name, actor="wangfang", text=TYPED)
    room.do("escalate", name, actor="wangfang", reason="zhaosi")
    room.answer(room.only.legs[-1].responder, "accept", by="zhaosi")
    room.do("resolve", name, actor="wangfang", outcome="hospital", note=TYPED)
    return name


@pytest.mark.parametrize("kind", ["management", "portal", "supervision"])
async def test_nothing_personal_leaves(tmp_path: Path, kind: str) -> None:
    with StoredRoom(tmp_path) as room:
        async with city(room) as there, Told(room, counterpart(there.port, kind=kind)) as told:
            await life(room)
            await told.drain()
            said = msgspec.json.encode(there.reports).decode()
            for word in ("wangfang", "zhaosi", "wangxiaohong", "138000", "Invented", '"wang"', "w-wang", "36.34"):
                assert word not in said, "no name, number, place, device or word that somebody typed"


async def test_each_kind_hears_what_it_needs(tmp_path: Path) -> None:
    with StoredRoom(tmp_path) as room:
        async with (
            city(room) as records,
            city(room) as portal,
            city(room) as events,
            Told(room, counterpart(records.port, name="records", kind="management")) as one,
            Told(room, counterpart(portal.port, name="portal", kind="portal")) as two,
            Told(room, counterpart(events.port, name="events")) as three,
        ):
            name = await life(room)
            for told in (one, two, three):
                await told.drain()
            (record,) = records.reports
            assert (record["incident"], record["state"], record["outcome"], record["area"]) == (name, "resolved", "hospital", "haishiwan")
            assert record["person"] == pseudonym(KEY, "records", "wang") != pseudonym(KEY, "other", "wang")
            assert record["orders"][0]["role"] == "social"
            kinds = [report["kind"] for report in events.reports]
            assert kinds[0] == "sos"
            assert [kind for kind in kinds if kind in ("acknowledge", "accept", "resolve", "note")] == ["acknowledge", "accept", "resolve"]
            assert events.reports[0] | {"at": 0} == {
                **{"number": 1, "event": events.reports[0]["event"], "at": 0, "day": "2026-03-14", "kind": "sos", "phase": "raise", "by": "field"},
                **{"incident": name, "matter": "sos", "severity": "critical", "area": "haishiwan"},
            }
            assert portal.reports == [], "a portal shows requests, and what came through it"


async def test_a_portal_hears_of_what_came_through_it_under_its_own_ids(tmp_path: Path) -> None:
    with StoredRoom(tmp_path) as room:
        async with city(room) as there, Told(room, counterpart(there.port, name="portal", kind="portal")) as told:
            room.press("w-li")
            incident = known_as(room.only, "portal", "Q-1", room.now)
            room.working.incidents[incident.id] = known_as(incident, "other", "X-1", room.now)
            room.do("acknowledge", incident.id)
            await told.drain()
            assert [(one["status"], one["externals"]) for one in there.reports if one["status"] != "ordered"] == [
                ("received", ["Q-1"]),
                ("in_hand", ["Q-1"]),
            ]


async def test_a_subscriber_hears_the_kinds_it_asked_for(tmp_path: Path) -> None:
    with StoredRoom(tmp_path) as room:
        async with city(room) as there:
            config = SubscriberConfig(name="app", url=f"http://127.0.0.1:{there.port}/x", secret_file="x", kinds=("sos", "resolve"), since="all")
            async with Told(room, config) as told:
                await life(room)
                await told.drain()
                assert [(one["number"], one["kind"], one["state"]) for one in there.reports] == [(1, "sos", "resolved"), (2, "resolve", "resolved")]


async def test_a_number_has_the_same_content_after_a_crash(tmp_path: Path) -> None:
    """What will leave is written down before it leaves: another version, or another state of the incident, changes nothing about it."""
    with StoredRoom(tmp_path) as room:
        async with city(room, refuse=1) as there:
            config = counterpart(there.port, kind="management")
            async with Told(room, config) as told:
                room.press("w-wang")
                await told.feed.turn()
            before = room.books.under_way("city")
            assert before is not None
            room.do("acknowledge", room.only.id)
            async with Told(room, config) as again:
                await again.drain()
            assert there.copies[1] == [zlib.decompress(before.lines)]
            assert [report["state"] for report in there.reports] == ["raised", "acknowledged"]


@pytest.mark.parametrize("config", [counterpart(1, kind=kind) for kind in ("management", "portal", "supervision")])
def test_whatever_stands_in_an_entry_makes_no_adapter_fail(config: CounterpartConfig) -> None:
    adapter = adapter_of(config, KEY)
    for kind in (*Kind, "no_kind_of_ours"):
        for facts in ("", "[]", "{", '{"erased":"00"}', '{"outcome":{"a":1},"reason":"Wang Fang","step":"ß","repeat":1e999}', '{"key":7}'):
            adapter.body(Entry(seq=1, at=1, kind=str(kind), phase="state", person=None, incident=None, actor=None, facts=facts), None)


def test_the_secret_of_a_city_leads_no_pseudonym_back() -> None:
    assert pseudonym(KEY, "city", "wang") != pseudonym(SECRET, "city", "wang")
    assert pseudonym(KEY, "city", None) is None
