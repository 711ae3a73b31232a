"""Token buckets: what comes back with time, debts, what is kept for the important, and a bounded table."""

import pytest

from drivers import token_bucket
from drivers.token_bucket import Bucket, TokenBuckets


def test_a_debt_is_paid_at_the_rate_of_the_bucket() -> None:
    bucket = Bucket(per_s=10, burst=20)
    assert bucket.charge(20, 100.0) == 0.0
    assert bucket.charge(5, 100.0) == 0.5
    assert bucket.charge(0, 100.25) == pytest.approx(0.25)
    assert bucket.level(100.5) == pytest.approx(0.0)
    assert bucket.level(1000.0) == 20, "never more than the burst"


def test_a_clock_that_steps_back_gives_nothing() -> None:
    bucket = Bucket(per_s=10, burst=20)
    bucket.charge(20, 100.0)
    assert bucket.level(90.0) == 0
    assert bucket.level(90.5) == 5


def test_sources_do_not_share_and_some_is_kept() -> None:
    buckets = TokenBuckets(per_s=1, burst=4)
    assert [buckets.admits("a", 0.0, keep=2.0) for _ in range(3)] == [True, True, False]
    assert [buckets.admits("a", 0.0) for _ in range(3)] == [True, True, False]
    assert buckets.is_over("a", 0.0)
    assert not buckets.is_over("b", 0.0)
    assert buckets.admits("b", 0.0)
    assert buckets.admits("a", 1.0)


def test_the_table_forgets_who_was_quiet_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_bucket, "MAX_SOURCES", 2)
    buckets = TokenBuckets(per_s=0.001, burst=1)
    for source in ("a", "b", "a", "c"):
        buckets.admits(source, 0.0)
    assert len(buckets) == 2
    assert buckets.is_over("a", 0.0)
    assert not buckets.is_over("b", 0.0)
