"""The feed: any gap, any epoch, and applying the frames gives what a fresh snapshot gives; nothing grows for a slow or absent reader."""

import asyncio
import contextlib
from datetime import timedelta

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.console import live
from gateway.console.live import Feed
from gateway.core.command import Command
from gateway.core.incident import Action, State
from gateway.errors import Refused
from gateway.event import Kind
from gateway.pipeline import Changes
from tests.console.fake_house import FakeHouse, invented_register

REGISTER = invented_register(8)
KINDS = (Kind.SOS, Kind.FALL_SUSPECTED, Kind.HELP, Kind.LOW_BATTERY)


class Page:
    """What a page does with frames, and no more."""

    def __init__(self) -> None:
        self.rev, self.epoch = 0, ""
        self.items: dict[str, dict] = {}
        self.resets = 0

    def take(self, feed: Feed) -> dict:
        frame = msgspec.json.decode(feed.frame(self.rev, self.epoch))
        if frame.get("reset"):
            self.items.clear()
            self.resets += 1
        for item in frame["items"]:
            self.items[f"{item['type']}:{item['id']}"] = item
        for ref in frame["gone"]:
            self.items.pop(ref, None)
        self.rev, self.epoch = frame["rev"], frame["epoch"]
        return frame


def fresh(house: FakeHouse, people: list[dict]) -> dict[str, dict]:
    """What a feed that starts now, and knows no past, would show."""
    feed = Feed(house, lambda: people)
    feed.refresh()
    page = Page()
    page.take(feed)
    return page.items


@st.composite
def stories(draw: st.DrawFn) -> list[tuple]:
    person = st.integers(0, 7)
    step = st.one_of(
        st.tuples(st.just("cry"), person, st.sampled_from(KINDS)),
        st.tuples(
            st.just("act"),
            st.integers(0, 9),
            st.sampled_from((Action.ACKNOWLEDGE, Action.RESOLVE, Action.CALL_BACK, Action.COMPLAIN, Action.DISPATCH)),
        ),
        st.tuples(st.just("call"), person, st.sampled_from((Kind.CALL_RINGING, Kind.CALL_ANSWERED, Kind.CALL_ENDED, Kind.CALL_ABANDONED))),
        st.tuples(st.just("line"), st.sampled_from(("hotline", "corridor")), st.sampled_from(("live", "suspect", "lost"))),
        st.tuples(st.just("time"), st.integers(1, 20), st.none()),
        st.tuples(st.just("people"), st.sampled_from(([], ["李娜"], ["李娜", "赵敏"])), st.none()),
        st.tuples(st.just("forget"), st.integers(0, 9), st.none()),
        st.tuples(st.just("read"), st.integers(0, 3), st.none()),
        st.tuples(st.just("restart"), st.integers(0, 3), st.none()),
    )
    return draw(st.lists(step, max_size=40))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(stories(), st.integers(1, 8), st.integers(0, 200), st.booleans())
def test_any_gap_any_epoch_gives_the_same_state(story: list[tuple], gone_limit: int, wild_rev: int, right_epoch: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live, "GONE_LIMIT", gone_limit)  # few removals remembered: resets must be right too
        patch.setattr(live, "CHANGED_LIMIT", gone_limit)
        asyncio.run(tell(story, wild_rev, right_epoch))


async def tell(story: list[tuple], wild_rev: int, right_epoch: bool) -> None:
    house = FakeHouse(REGISTER)
    start = house.now()
    house.now = lambda: start + house.offset  # type: ignore[method-assign]  # a clock that stands still between steps
    people: list[dict] = []
    feed = Feed(house, lambda: people)
    pages = [Page() for _ in range(4)]
    for word, what, how in story:
        names = list(house.incidents)
        match word:
            case "cry":
                await house.cries(what, how)
            case "act" if names:
                facts = {Action.RESOLVE: {"outcome": "helped"}, Action.COMPLAIN: {"note": "太慢"}}.get(how, {})
                with contextlib.suppress(Refused):
                    await house.command(Command(action=how, actor="李娜", incident=names[what % len(names)], facts=facts))
            case "call":
                await house.calls_in(REGISTER.persons[f"p{what:03}"].phones[0], how, f"c{what}")
            case "line":
                house.change_line(what, how)
            case "time":
                house.offset += timedelta(minutes=what)
            case "people":
                people[:] = [{"type": "operator", "id": name, "name": name, "sound": True} for name in what]
            case "forget" if names:
                gone = house.incidents[names[what % len(names)]]
                if gone.state is State.CLOSED and (gone.closed_at or start) + live.FADE <= house.now():
                    del house.incidents[gone.id]  # the house keeps closed ones only for a while
            case "read":
                feed.refresh()
                pages[what].take(feed)
            case "restart":
                feed = Feed(house, lambda: people)
    feed.refresh()
    wild = Page()
    wild.take(feed)
    wild.rev, wild.epoch = wild_rev, feed.epoch if right_epoch else "another"
    if not right_epoch or wild_rev > feed.rev or wild_rev == 0:
        wild.take(feed)  # a number that says nothing to us: everything again
    wanted = fresh(house, people)
    for page in [*pages, *([wild] if wild.rev == feed.rev else [])]:
        page.take(feed)
        assert page.items == wanted
    assert wanted["counter:queue"]["open"] == sum(incident.is_open for incident in house.incidents.values())


async def test_ten_changes_in_a_tick_are_one_item() -> None:
    house = FakeHouse()
    feed, page = Feed(house), Page()
    feed.refresh()
    page.take(feed)
    for _ in range(10):
        await house.cries(0)
    feed.refresh()
    frame = page.take(feed)
    assert [(item["type"], item.get("cries")) for item in frame["items"]] == [("counter", None), ("incident", 10)]
    feed.refresh()
    assert page.take(feed)["items"] == []


async def test_a_flood_is_made_in_pieces_and_nothing_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "RENDER_LIMIT", 3)
    house = FakeHouse()
    feed, page = Feed(house), Page()
    for i in range(10):
        await house.cries(i)
    for turn in range(1, 6):
        feed.refresh()
        page.take(feed)
        assert len(page.items) == min(13, 3 * turn) + 4  # ten incidents, three lines; counters of queue and wallboard, states of flood and ears
        assert page.items["counter:queue"]["open"] == sum(ref.startswith("incident:") for ref in page.items)


async def test_a_closed_incident_fades_after_fifteen_minutes() -> None:
    house = FakeHouse()
    feed, page = Feed(house), Page()
    incident = await house.cries(0)
    for action, facts in ((Action.ACKNOWLEDGE, {}), (Action.RESOLVE, {"outcome": "helped"}), (Action.CALL_BACK, {})):
        await house.command(Command(action=action, actor="李娜", incident=incident.id, facts=facts))
    feed.refresh()
    page.take(feed)
    assert page.items[f"incident:{incident.id}"]["state"] == "closed"
    house.offset = timedelta(minutes=16)
    feed.refresh()
    assert page.take(feed)["gone"] == [f"incident:{incident.id}"]
    late = Page()
    late.take(feed)
    assert f"incident:{incident.id}" not in late.items


async def test_a_reloaded_register_shows_at_once() -> None:
    house = FakeHouse()
    feed, page = Feed(house), Page()
    incident = await house.cries(0)
    feed.refresh()
    page.take(feed)
    house.register = invented_register(seed=9)
    feed.refresh()
    assert [item["name"] for item in page.take(feed)["items"] if item["id"] == incident.id] == [house.register.persons["p000"].name[0] + "**"]


async def test_a_commit_costs_a_set_while_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    house = FakeHouse()
    feed = Feed(house)
    feed.refresh()
    monkeypatch.setattr(Feed, "_render", lambda *_: pytest.fail("made a row for nobody"))
    monkeypatch.setattr(live, "CHANGED_LIMIT", 100)
    for i in range(1_000):
        feed.note(Changes(incidents=frozenset((f"I{i}",)), calls=frozenset((f"c{i}",))))
    assert len(feed._changed) <= 100
    monkeypatch.undo()
    await house.cries(0)
    feed.refresh()
    assert [ref for ref in feed.snapshot() if ref.startswith("incident:")] == ["incident:I100001"]


async def test_a_row_that_cannot_be_made_takes_no_other_away(monkeypatch: pytest.MonkeyPatch) -> None:
    house = FakeHouse()
    feed = Feed(house)
    bad, good = await house.cries(0), await house.cries(1)
    made = Feed._render

    def render(self: Feed, ref: str) -> dict | None:
        if ref.endswith(bad.id):
            raise ValueError("cannot be shown")
        return made(self, ref)

    monkeypatch.setattr(Feed, "_render", render)
    feed.refresh()
    assert f"incident:{good.id}" in feed.snapshot()


async def test_one_frame_is_encoded_for_all_who_stand_at_the_same_number() -> None:
    house = FakeHouse()
    feed = Feed(house)
    feed.refresh()
    assert feed.frame(0, "") is feed.frame(0, "") is feed.frame(99, feed.epoch)
    for since in range(500):
        feed.frame(since, feed.epoch)
    assert len(feed._frames) <= live.FRAMES_LIMIT


async def test_waiting_ends_with_news_or_with_the_time() -> None:
    house = FakeHouse()
    feed = Feed(house)
    with feed:
        rev = feed.rev
        assert not await feed.wait(rev, feed.epoch, 0.01)
        assert await feed.wait(rev, "another", 10)
        waiting = asyncio.create_task(feed.wait(rev, feed.epoch, 10))
        await asyncio.sleep(0)
        await house.cries(0)
        assert await waiting
    assert feed.listeners == 0
    assert feed._ticker is None


async def test_a_wallboard_has_counts_and_nobodys_name() -> None:
    house = FakeHouse()
    feed = Feed(house, lambda: [{"type": "operator", "id": name, "name": name, "sound": name == "李娜"} for name in ("李娜", "赵敏")])
    await house.cries(0)
    await house.calls_in("+8619900000003", Kind.CALL_RINGING, "c1")
    await house.calls_in("+8619900000005", Kind.CALL_ANSWERED, "c2")
    feed.refresh()
    frame = msgspec.json.decode(feed.frame(0, "", live.Scope(counts_only=True)))
    items = {f"{item['type']}:{item['id']}": item for item in frame["items"]}
    board = items["counter:board"]
    assert (board["operators"], board["sound"], board["calls"]) == (2, 1, 1)
    assert board["oldest_call"] is not None
    assert {name.partition(":")[0] for name in items} <= {"counter", "line", "state"}
    assert not {"李娜", "赵敏"} & {str(value) for item in items.values() for value in item.values()}
