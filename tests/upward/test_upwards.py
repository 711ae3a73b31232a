"""All destinations of a house: the days that are compared by themselves, what is seen of it, and memory that does not grow."""

import asyncio
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from waiting import wait_until

from gateway.config import Config, GatewayConfig
from gateway.config.upward import CounterpartConfig
from gateway.errors import ConfigError
from gateway.upward import reconcile
from gateway.upward.link import Detail, Failed, Reported, Summary
from gateway.upward.upwards import Upwards
from tests.upward.told import SECRET, StoredRoom, city, counterpart


def upwards_of(room: StoredRoom, folder: Path, *counterparts: object) -> Upwards:
    (folder / "city.secret").write_bytes(SECRET)
    settings = tuple(msgspec.structs.replace(one, secret_file="city.secret") for one in counterparts)  # type: ignore[type-var]
    config = Config(path=str(folder / "gateway.toml"), gateway=GatewayConfig(data="var"), counterpart=settings)  # type: ignore[arg-type]
    return Upwards(config, room.store.engine, room.write, room.books.head, lambda: room.now)


async def drain(upwards: Upwards) -> None:
    for feed in upwards.feeds:
        while not feed.is_idle:
            await feed.turn()


async def close(upwards: Upwards) -> None:
    for feed in upwards.feeds:
        await feed.link.close()
    upwards._threads.shutdown()


def samples(upwards: Upwards) -> dict[tuple[str, ...], float]:
    return {(sample.name, *sample.labels.values()): sample.value for metric in upwards.metrics() for sample in metric.samples}


async def test_yesterday_is_compared_by_itself_and_what_is_lost_is_sent_again(tmp_path: Path) -> None:
    with StoredRoom(tmp_path / "room") as room:
        async with city(room, lose={2}) as there:
            upwards = upwards_of(room, tmp_path, counterpart(there.port, reconcile_at="03:30"))
            await room.story("w-wang")
            day = "2026-03-14"
            await drain(upwards)
            await upwards.reconcile_due()
            assert room.books.days("city")[0].day == "2026-03-13", "today is not over"
            assert 2 not in there.copies
            room.now = datetime.fromisoformat("2026-03-15T03:29:00+08:00")
            await upwards.reconcile_due()
            assert 2 not in there.copies, "before the time"
            room.now += timedelta(minutes=1)
            await upwards.reconcile_due()
            (found,) = [one for one in room.books.days("city") if one.day == day]
            assert (found.outcome, found.lost, found.sent, found.received) == ("mended", (2,), len(there.copies), len(there.copies))
            assert samples(upwards)["gateway_upward_unequal", "city", "lost"] == 1
            assert (await upwards.view())[0]["days"][0] == found
            asked = len(there.requests)
            await upwards.reconcile_due()
            assert len(there.requests) == asked, "a day that was found equal is not asked for again"
            await close(upwards)


async def test_a_day_that_cannot_be_compared_is_tried_again_an_hour_later(tmp_path: Path) -> None:
    with StoredRoom(tmp_path / "room") as room:
        async with city(room) as there:
            upwards = upwards_of(room, tmp_path, counterpart(there.port, reconcile_at="00:00"))
            await room.story("w-wang")
            await drain(upwards)
            room.now += timedelta(days=1)
            there.nonsense = 1000
            await upwards.reconcile_due()
            assert room.books.days("city") == []
            assert upwards.feeds[0].failures["reconcile_bad_receipt"] == 7
            there.nonsense = 0
            await upwards.reconcile_due()
            assert room.books.days("city") == [], "not at once"
            room.now += timedelta(hours=1)
            await upwards.reconcile_due()
            assert {one.outcome for one in room.books.days("city")} == {"equal"}
            await close(upwards)


async def test_the_backlog_of_a_week_takes_no_memory(tmp_path: Path) -> None:
    with StoredRoom(tmp_path / "room") as room:
        async with city(room) as there:
            upwards = upwards_of(room, tmp_path, counterpart(there.port, batch=50))
            for _ in range(3):
                for device in ("w-wang", "w-li", "w-zhao", "w-wang-2"):
                    await room.story(device)
            await there.stop()
            feed = upwards.feeds[0]
            for _ in range(5):
                await feed.turn()
            assert feed.batch is not None
            assert feed.batch.last == 50, "one batch, however much waits"
            under_way = samples(upwards)
            assert under_way["gateway_upward_lag_entries", "city"] == room.books.head()
            assert under_way["gateway_upward_lag_seconds", "city"] > 3600
            assert under_way["gateway_upward_failures_total", "city", "unreachable"] == 5
            await there.start()
            await drain(upwards)
            assert samples(upwards)["gateway_upward_lag_entries", "city"] == 0
            await close(upwards)


async def test_one_that_hangs_delays_no_other(tmp_path: Path) -> None:
    with StoredRoom(tmp_path / "room") as room:
        async with city(room, slow_s=3600) as stuck, city(room) as there:
            one = counterpart(stuck.port, name="stuck", timeout_s=0.2)
            upwards = upwards_of(room, tmp_path, one, counterpart(there.port, name="city", kind="management"))
            running = asyncio.create_task(upwards.run())
            room.press("w-wang")
            upwards.changed(None)
            await wait_until(lambda: there.copies, "the other one is told")
            await wait_until(lambda: upwards.feeds[0].failing == "timeout", "the one that hangs is given up for now")
            room.press("w-li")
            upwards.changed(None)
            await wait_until(lambda: len(there.copies) >= 2, "and told of what happens next")
            assert stuck.copies == {}
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def test_the_key_of_pseudonyms_is_made_once_and_is_ours_alone(tmp_path: Path) -> None:
    with StoredRoom(tmp_path / "room") as room:
        portal = upwards_of(room, tmp_path, counterpart(1))
        assert not (tmp_path / "var").exists(), "who is told of no persons needs none"
        records = counterpart(1, kind="management")
        first = upwards_of(room, tmp_path, records)
        key = tmp_path / "var" / "pseudonym.key"
        made = key.read_bytes()
        assert key.stat().st_mode & 0o777 == 0o600
        second = upwards_of(room, tmp_path, records)
        assert key.read_bytes() == made
        key.write_text("short")
        with pytest.raises(ConfigError, match="key of pseudonyms"):
            upwards_of(room, tmp_path, records)
        for one in (portal, first, second):
            await close(one)


async def test_a_key_that_is_named_is_the_same_in_every_data_folder(tmp_path: Path) -> None:
    told = []
    for number in (1, 2):
        folder = tmp_path / f"machine-{number}"
        with StoredRoom(folder / "room") as room:
            (folder / "city.key").write_text("an invented key on every machine\n")
            async with city(room) as there:
                upwards = upwards_of(room, folder, counterpart(there.port, kind="management", pseudonym_key_file="city.key"))
                await room.story("w-wang")
                await drain(upwards)
                told.append({report["person"] for report in there.reports if "person" in report})
                await close(upwards)
        assert not (folder / "var").exists(), "none is made beside it"
    assert told[0] == told[1]
    assert len(told[0]) == 1


async def test_another_key_is_noticed_by_what_was_told_before(tmp_path: Path) -> None:
    with StoredRoom(tmp_path / "room") as room:
        (tmp_path / "city.key").write_text("an invented key on every machine")
        async with city(room) as there:
            records = counterpart(there.port, kind="management", pseudonym_key_file="city.key")

            async def failures(one: CounterpartConfig = records) -> dict[str, int]:
                upwards = upwards_of(room, tmp_path, one)
                await upwards._prove_keys()
                await drain(upwards)
                await close(upwards)
                return dict(upwards.feeds[0].failures)

            assert await failures() == {}, "nobody was told anything"
            await room.story("w-wang")
            assert await failures(counterpart(there.port, name="other")) == {}
            assert await failures(msgspec.structs.replace(records, name="other")) == {}, "it was told of no persons before"
            there.senders.clear()
            assert await failures() == {}
            assert {"person" in report for report in there.reports} == {True}
            assert await failures() == {}, "the same key"
            (tmp_path / "city.key").write_text("an invented key of one machine alone")
            assert await failures() == {"other_key": 1}


async def test_who_has_reports_without_end_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many it says that there are: what it tells is kept in memory while days are compared."""
    monkeypatch.setattr(reconcile, "MORE_THAN_OURS", 100)
    asked: list[int] = []

    class Liar:
        async def summary(self, day: str) -> Summary:
            return Summary(day=day, count=10**15, digest="")

        async def detail(self, _day: str, after: int) -> Detail:
            asked.append(after)
            return Detail(reports=tuple(Reported(after + 1 + number, "00") for number in range(50)), more=True)

    with StoredRoom(tmp_path) as room, pytest.raises(Failed, match="bad_receipt"):
        await reconcile.compare(room.books, Liar(), "city", "2026-03-14")  # type: ignore[arg-type]
    assert len(asked) == 3
