"""The self-test as a console of several machines shows it: edges probe their lines and tell what came of it; a probe at once is asked of the edge."""

from typing import Any

import msgspec
from prometheus_client import CollectorRegistry

from drivers.contract import Emit
from gateway.bus.contract import Bus, BusDown
from gateway.bus.shard_words import DONE, REFUSED, answer_of, packed
from gateway.clock import monotonic
from gateway.config import Config
from gateway.edge_watch import PROBE, word_of
from gateway.errors import Refused, StoreDown
from gateway.mirror_lines import SILENT_S
from gateway.self_test.points import PRESS, Point
from gateway.self_test.result import LINE_DOWN
from gateway.self_test.self_test import Note, Remembered, SelfTest

SPARE_S = 5.0  # beside what a probe may take


class FarSelfTest(SelfTest):
    """`heard` takes what edges tell. It probes nothing itself."""

    def __init__(self, config: Config, working: Remembered, bus: Bus, receive: Emit, note: Note, registry: CollectorRegistry) -> None:
        super().__init__(config, working, {}, dict, receive, note, registry)
        self._bus = bus
        self._told: dict[str, dict[str, Any]] = {}
        self._heard_at = {place.point.line.edge: monotonic() for place in self._places.values()}

    def heard(self, subject: str, body: bytes) -> None:
        """An edge tells how its points are. Raises msgspec.MsgspecError."""
        word = subject.rpartition(".")[2]
        for row in msgspec.msgpack.decode(body, type=list[dict[str, Any]]):
            place = self._places.get(str(row.get("name")))
            if place is not None and word_of(place.point.line.edge) == word:  # else it runs by another configuration
                self._heard_at[place.point.line.edge] = monotonic()
                self._told[place.point.name] = row

    def rows(self) -> list[dict[str, Any]]:
        """As its edge told them last; where it does not answer, the lines are down."""
        return [self._shown(place.point, self._told.get(place.point.name) or self._row(place)) for place in self._places.values()]

    def _shown(self, point: Point, row: dict[str, Any]) -> dict[str, Any]:
        edge = point.line.edge
        if point.how == PRESS or not self._config.self_test.enabled or monotonic() - self._heard_at[edge] <= SILENT_S:
            return row
        return row | {
            "state": "failing",
            "missing": LINE_DOWN,
            "detail": f"edge {edge} does not answer".replace("  ", " "),
            "seconds": None,
            "since": None,
        }

    async def probe(self, point: Point) -> dict[str, object]:
        """By the edge that has its line. Raises StoreDown when that does not answer."""
        edge = point.line.edge
        try:
            asked = await self._bus.ask(f"edge.{word_of(edge)}.{PROBE}", packed(point.name), point.within_s + SPARE_S)
            answer = answer_of(asked)
        except (BusDown, msgspec.MsgspecError) as error:
            raise StoreDown(f"edge {edge} does not answer: start it, or look at its log") from error
        if answer.outcome == REFUSED:
            raise Refused(answer.reason, answer.status, **answer.facts)
        if answer.outcome != DONE:
            raise StoreDown(answer.reason)
        row: dict[str, Any] = msgspec.msgpack.decode(answer.body)
        self._told[point.name] = row
        return row
