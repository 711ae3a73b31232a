"""The periodic counting of providers: scores once a day, and now and then the proposal to suspend the last ones, which a person decides."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from gateway.clock import utc_now
from gateway.config.providers import ProvidersConfig
from gateway.core.provider_matters import MACHINE, SCORES_AT_ONCE
from gateway.core.providers import look_up
from gateway.core.register import Register
from gateway.core.score import Ranking, Score, counted, ranked, scored
from gateway.core.standing import Ruling
from gateway.core.territory import Standing
from gateway.errors import Refused, StoreDown
from gateway.store.provider_work import works
from gateway.store.store import reason_of

log = structlog.get_logger("ranking")

LOOK_S = 600.0  # how often it is looked whether something is to be counted
SCORE_EVERY = timedelta(days=1)
SCORES, PROPOSALS = "ranking:scores", "ranking:proposals"  # when that was done last: what stands under these keys


def rank(engines: Iterable[Engine], register: Register, standings: Mapping[str, Standing], config: ProvidersConfig, now: datetime) -> Ranking:
    """Count the window anew, of all shards together. Blocks: a second for 50,000 incidents."""
    find = look_up(standings, now)
    since = now - timedelta(days=config.window_days)
    tallies = counted((work for engine in engines for work in works(engine, since)), register, since, now)
    return ranked(scored(tallies, register, find, config, now), register, find, config, now)


class Ranker:
    """Beside the running gateway. `rule` writes it down; when it was done last stands there too, so that a restart changes nothing."""

    def __init__(
        self,
        engine: Engine,
        config: ProvidersConfig,
        register: Callable[[], Register],
        standings: Callable[[], Mapping[str, Standing]],
        rule: Callable[[Ruling], Awaitable[Standing]],
    ) -> None:
        self._engine = engine
        self._config = config
        self._register = register
        self._standings = standings
        self._rule = rule

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.look(utc_now())
            except (SQLAlchemyError, StoreDown, Refused) as error:
                why = reason_of(error) if isinstance(error, SQLAlchemyError) else str(error)
                log.warning("providers not counted; trying again", reason=why)
            await asyncio.sleep(LOOK_S)

    async def look(self, now: datetime) -> Ranking | None:
        """Count when it is time to; None: it is not."""
        register = self._register()
        is_to_score = self._is_due(SCORES, SCORE_EVERY, now)
        is_to_rank = self._config.rank_every_days > 0 and self._is_due(PROPOSALS, timedelta(days=self._config.rank_every_days), now)
        if not register.providers or not (is_to_score or is_to_rank):
            return None
        standings = dict(self._standings())
        found = await asyncio.to_thread(rank, [self._engine], register, standings, self._config, now)
        await self._write_scores(found, standings)
        if is_to_rank:
            await self._propose(found)
        return found

    def _is_due(self, key: str, every: timedelta, now: datetime) -> bool:
        last = self._standings().get(key)
        return last is None or now - last.at >= every

    async def _write_scores(self, found: Ranking, standings: Mapping[str, Standing]) -> None:
        news = [score for score in found.scores if score.value is not None and _is_news(score, standings.get(f"score:{score.provider}"))]
        parts = [news[start : start + SCORES_AT_ONCE] for start in range(0, len(news), SCORES_AT_ONCE)] or [[]]
        for part in parts:
            detail: dict[str, object] = {"scores": {score.provider: [round(score.value or 0.0, 4), score.sample] for score in part}}
            await self._rule(Ruling(key=SCORES, value="scored", actor=MACHINE, detail=detail))

    async def _propose(self, found: Ranking) -> None:
        places = {score.provider: score for score in found.scores}
        proposed = {
            name: {"place": places[name].place, "of": found.ranked, "score": round(places[name].value or 0.0, 4), "sample": places[name].sample}
            for name in found.proposed
        }
        spared = {name: {"area": area, "what": what} for name, (area, what) in found.spared.items()}
        detail: dict[str, object] = {"ranked": found.ranked, "proposed": proposed, "spared": spared}
        await self._rule(Ruling(key=PROPOSALS, value="ranked", actor=MACHINE, detail=detail))
        if proposed:
            log.warning("suspension proposed; a person decides", providers=sorted(proposed))


def _is_news(score: Score, known: Standing | None) -> bool:
    return known is None or known.value != f"{score.value:.4f}" or known.detail.get("sample") != score.sample
