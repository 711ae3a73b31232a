"""A busy hour and more: 60 calls a second, some answered, some busy, some given up. Every call is told exactly once, as SIPp saw it."""

from collections import Counter
from pathlib import Path

import pytest

from tests.telephony.peers import Sipp, calls_of
from tests.telephony.place import telephony


@pytest.mark.parametrize(("per_s", "seconds"), [(20, 5), pytest.param(60, 20, marks=pytest.mark.campaign)])
async def test_many_calls_a_second(tmp_path: Path, per_s: int, seconds: int) -> None:
    count = per_s * seconds
    async with telephony(tmp_path, "phone_mix") as place:
        sipp = Sipp(tmp_path, "caller_mix", d_ms=300)
        await sipp.calls(place.proxy.address, count, per_s)
        await place.settled(sipp)
        place.compare(sipp)

        became = Counter(max(told, key=told.__getitem__) for told in calls_of(sipp.logged()).values())
        assert sum(became.values()) == count
        assert set(became) == {"ended", "abandoned", "missed"}  # the mix was one
        assert Counter(kinds[-1] for kinds in place.ear.kinds().values()) == became
        line = place.ear.line
        assert line.counts["dropped"] + line.kernel_drops() == 0  # type: ignore[attr-defined]

        codec = line.codec  # type: ignore[attr-defined]
        assert codec.live_calls == 0
        assert codec.handle_deadline(codec.deadline() + 3600, place.ear.events[-1].received_at) == []  # nothing is left to be told
        assert codec.deadline() is None  # nor to be remembered
