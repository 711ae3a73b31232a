"""A whole gateway hears calls over HEP: figures and call-backs are there while it runs, after kill -9, and in the report."""

import asyncio
import json
from pathlib import Path

from house import House

from simulators.pbx import Outcome, Pbx

SHARES = ("gateway_call_answered_share", "gateway_call_connect_share", "gateway_calls_beyond", "gateway_call_profile_met")


async def place(pbx: Pbx, house: House, *outcomes: Outcome) -> None:
    """One caller each, all at once; back when they have ended."""
    await asyncio.gather(
        *(pbx.call(f"c{n}", house.district.caller(n), outcome, ring_s=0.2, talk_s=0.2) for n, outcome in enumerate(outcomes)),
    )


async def test_figures_and_tasks_survive_a_kill_and_the_report_agrees(tmp_path: Path) -> None:
    async with House(tmp_path) as house:
        house.start()
        await house.ready()
        async with Pbx(house.hep, seed="levels", area_code="0931") as pbx:
            await place(pbx, house, Outcome.ANSWERED, Outcome.ANSWERED, Outcome.BUSY, Outcome.NO_ANSWER, Outcome.ABANDONED)

            async def are_counted() -> bool:
                return await house.metric("gateway_calls_total") == 5

            await house.sees(are_counted, "five calls have their fate")
            lived = {name: value for name, value in (await house.metrics()).items() if name.startswith(SHARES)}

            assert lived['gateway_call_answered_share{hotline="12349",profile="gbt33358",within="15"}'] == 0.5, (
                "two of four; who gave up at once is counted apart"
            )
            assert await house.metric("gateway_calls_total", hotline="12349", outcome="abandoned_short") == 1
            assert await house.metric("gateway_call_answer_seconds_count", hotline="12349") == 2
            house.kill()
            house.start()
            await house.ready()
            born = {name: value for name, value in (await house.metrics()).items() if name.startswith(SHARES)}
            assert born == lived
            answer = await house.get("/api/v1/call-backs")
            assert answer is not None
            assert [(one["attempts"], one["kind"]) for one in answer.json()["call_backs"]].count((1, "call_missed")) == 2
            assert len(answer.json()["call_backs"]) == 3, "who gave up is rung back as well, however short it was"

            await pbx.call("again", house.district.caller(2), Outcome.ANSWERED, ring_s=0.2, talk_s=0.2)

            async def is_over() -> bool:
                answer = await house.get("/api/v1/call-backs")
                return answer is not None and len(answer.json()["call_backs"]) == 2

            await house.sees(is_over, "who got through is no task any more")
        assert await house.unbalanced() == {}
        report = json.loads(house.run("report", "calls", "--json").stdout)
        assert report["hotlines"]["12349"]["outcomes"] == {
            "answered": 3,
            "abandoned": 0,
            "abandoned_short": 1,
            "missed": 2,
            "failed": 0,
            "unseen": 0,
        }
