"""Due times: whatever is put, moved and dropped, exactly what is due comes up, earliest first."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.due import DueTimes

START = datetime(2026, 3, 14, 3, 0, tzinfo=UTC)
STEP = st.tuples(st.sampled_from(["put", "drop", "take"]), st.sampled_from("abcd"), st.integers(0, 60))


@given(st.lists(STEP, max_size=60))
def test_like_a_plain_table(steps: list[tuple[str, str, int]]) -> None:
    due, plain, now = DueTimes(), {}, START
    for what, name, number in steps:
        if what == "put":
            plain[name] = now + timedelta(seconds=number)
            due.put(name, plain[name])
        elif what == "drop":
            plain.pop(name, None)
            due.drop(name)
        else:
            now += timedelta(seconds=number)
            wanted = sorted(name for name, at in plain.items() if at <= now)
            assert sorted(due.take(now, 100)) == wanted
            for name in wanted:
                del plain[name]
        assert len(due) == len(plain)
        nearest = due.next()
        assert not plain or (nearest is not None and nearest <= min(plain.values()))


def test_a_heartbeat_a_second_keeps_one_entry_in_the_heap() -> None:
    due = DueTimes()
    for second in range(1000):
        due.put("w-1", START + timedelta(seconds=60 + second))
    assert len(due._heap) == 1
    assert due.take(START + timedelta(seconds=60), 10) == []
    assert due.take(START + timedelta(seconds=1059), 10) == ["w-1"]


def test_a_step_of_the_clock_moves_all() -> None:
    due = DueTimes()
    due.put("w-1", START)
    due.shift(timedelta(hours=1))
    assert due.take(START + timedelta(minutes=59), 10) == []
    assert due.take(START + timedelta(hours=1), 10) == ["w-1"]
