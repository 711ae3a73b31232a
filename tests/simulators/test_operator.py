"""The simulated operator against a hand-written console: what it sends, in which order, and that a refusal never stops it."""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from servers import until

from simulators.operator import Habits, Operator

QUICK = Habits("测试", (0.0, 0.01), (0.0, 0.01))


class Desk:
    """The state of the console: rows by id, all commands as they came."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.commands: list[tuple[str, str, dict[str, Any]]] = []
        self.keys: list[str] = []
        self.refuse: set[str] = set()
        self.books = "0.0"
        self.details: dict[str, dict[str, Any]] = {}
        self.looked: Counter[str] = Counter()

    def raise_row(self, incident: str, kind: str, severity: str, **more: object) -> None:
        self.rows[incident] = {"type": "incident", "id": incident, "kind": kind, "severity": severity, "state": "raised", "leg": None, **more}

    def act(self, incident: str, action: str, body: dict[str, Any]) -> tuple[int, object]:
        self.commands.append((incident, action, body))
        if action in self.refuse:
            return 409, {"reason": f"already_{action}d", "incident": self.rows[incident]}
        row = self.rows[incident]
        states = {"acknowledge": "acknowledged", "resolve": "resolved", "call_back": "closed"}
        row["state"] = states.get(action, row["state"])
        if action == "dial":
            self.details[incident]["timeline"] = [{"kind": "dial", "detail": {"outcome": "done"}}]
            return 202, {"dial": "d"}
        if action == "call_back":
            row["flags"] = []
        if action == "dispatch":
            row["leg"] = "done"
        return 200, {"incident": row}


@pytest.fixture
def desk() -> Iterator[tuple[Desk, str]]:
    state = Desk()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                return self.answer(200, f'# HELP x\ngateway_unaccounted{{line="a"}} {state.books}\ngateway_unaccounted{{line="b"}} 0.0\n')
            if self.path == "/api/v1/session":
                return self.answer(200, {"csrf": "token", "name": None})
            if self.path == "/api/v1/call-backs":
                due = [row for row in state.rows.values() if "call_due" in row.get("flags", ())]
                return self.answer(200, {"call_backs": due})
            if self.path.startswith("/api/v1/incidents/"):
                incident = self.path.rpartition("/")[2]
                state.looked[incident] += 1
                return self.answer(200, state.details.get(incident, {}))
            assert self.path.startswith("/api/v1/changes")
            items = [*state.rows.values(), {"type": "line", "id": "corridor-panel", "state": "live"}]
            return self.answer(200, {"epoch": "e", "rev": 1, "items": items, "gone": []})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
            assert self.headers["X-CSRF"] == "token"
            if self.path == "/api/v1/duty":
                return self.answer(200, {"csrf": "token", "name": body["name"]})
            state.keys.append(self.headers["Idempotency-Key"])
            _, _, _, _, incident, action = self.path.split("/")
            return self.answer(*state.act(incident, action, body))

        def answer(self, code: int, body: object) -> None:
            data = (body if isinstance(body, str) else json.dumps(body)).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield state, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


async def test_walks_the_required_steps_before_the_end(desk: tuple[Desk, str]) -> None:
    state, url = desk
    state.raise_row("I1", "low_battery", "warning")
    steps = [("check_device", True, False), ("call_person", True, True), ("dispatch", False, False)]
    state.details["I1"] = {"plan": [{"id": word, "required": required, "done": done} for word, required, done in steps]}
    operator = Operator(url, QUICK)
    running = asyncio.create_task(operator.run())
    try:
        await until(lambda: state.rows["I1"]["state"] == "closed", "closed")
        assert [body["step"] for _, action, body in state.commands if action == "step"] == ["check_device"]
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_nothing_is_over_while_somebody_is_still_on_the_way(desk: tuple[Desk, str]) -> None:
    """The row tells of the neighbour, who is done; the station is still to come."""
    state, url = desk
    state.raise_row("I1", "sos", "critical", leg="done", leg_responder="邻居")
    state.raise_row("I2", "sos", "major", leg="done")
    station = {"name": "驿站", "state": "en_route"}
    state.details["I1"] = {"plan": [], "legs": [{"name": "邻居", "state": "done"}, station]}
    state.details["I2"] = {"plan": [], "legs": [{"name": "邻居", "state": "done"}, {"name": "电话驿站", "state": "accepted"}]}
    operator = Operator(url, QUICK, rung=("电话驿站",))
    running = asyncio.create_task(operator.run())
    try:
        await until(lambda: state.rows["I2"]["state"] == "closed", "whoever is rung is not waited for")
        await until(lambda: state.looked["I1"] > 6, "the operator looks again and again")  # more often than anything is tried
        assert state.rows["I1"]["state"] == "acknowledged"
        station["state"] = "done"
        await until(lambda: state.rows["I1"]["state"] == "closed", "closed")
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_what_came_back_to_the_desk_is_ended_by_the_desk(desk: tuple[Desk, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulators.operator.ALONE_S", 0.1)
    state, url = desk
    for incident, kind in (("I1", "desk"), ("I2", "station")):
        state.raise_row(incident, "sos", "critical", leg="sent")
        legs = [{"name": "驿站", "state": "declined"}, {"name": "最后一级", "kind": kind, "state": "sent"}]
        state.details[incident] = {"plan": [], "legs": legs}
    operator = Operator(url, QUICK)
    running = asyncio.create_task(operator.run())
    try:
        await until(lambda: state.rows["I1"]["state"] == "closed", "closed")
        await until(lambda: state.looked["I2"] > 6, "the operator looks again and again")
        assert state.rows["I2"]["state"] == "acknowledged"
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_takes_orders_resolves_and_calls_back(desk: tuple[Desk, str]) -> None:
    state, url = desk
    state.raise_row("I1", "call_answered", "minor")
    state.raise_row("I2", "low_battery", "warning")
    operator = Operator(url, QUICK)
    running = asyncio.create_task(operator.run())
    try:
        await until(lambda: all(row["state"] == "closed" for row in state.rows.values()), "both closed")
        actions = [(action, body) for incident, action, body in state.commands if incident == "I1"]
        assert [action for action, _ in actions] == ["acknowledge", "dispatch", "note", "resolve", "call_back"]
        assert actions[1][1] == {}
        assert actions[3][1]["outcome"] == "helped"
        assert actions[4][1] == {"satisfaction": 5}
        assert "dispatch" not in [action for incident, action, _ in state.commands if incident == "I2"]
        assert len(set(state.keys)) == len(state.keys)
        await until(lambda: operator.counts.closed == 2, "both counted")
        assert operator.lines["corridor-panel"]["state"] == "live"
        assert await operator.unaccounted() == 0
        state.books = "2.0"
        assert await operator.unaccounted() == 2
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_refusal_is_counted_and_work_goes_on(desk: tuple[Desk, str]) -> None:
    state, url = desk
    state.refuse.add("acknowledge")
    state.raise_row("I1", "sos", "critical")
    operator = Operator(url, QUICK)
    running = asyncio.create_task(operator.run())
    try:
        await until(lambda: operator.counts.refused.get("acknowledge:already_acknowledged", 0) >= 2, "refused twice")
        state.refuse.clear()
        await until(lambda: state.rows["I1"]["state"] == "acknowledged", "taken in the end")
        assert "dispatch" not in [action for _, action, _ in state.commands]  # the machine orders for a cry of life and death
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_console_that_is_away_is_asked_again() -> None:
    operator = Operator("http://127.0.0.1:9", QUICK)
    running = asyncio.create_task(operator.run())
    await asyncio.sleep(0)
    assert await operator.detail("I1") is None
    assert await operator.unaccounted() is None
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_callers_are_rung_back_by_reference_and_the_order_of_the_list_is_watched(desk: tuple[Desk, str]) -> None:
    state, url = desk
    for incident, at in (("i1", "2026-01-01T10:00:09Z"), ("i2", "2026-01-01T10:00:01Z")):  # the wrong way round
        state.raise_row(incident, "call_abandoned", "major", flags=["call_due"], first_attempt_at=at, caller="174****0001", name="某*")
        state.details[incident] = {"incident": {"caller": "174****0001"}, "dial": [{"ref": "person", "phone": "174****0001"}]}
    operator = Operator(url, Habits("测试", (0.0, 0.01), (0.0, 0.01), resolves=False, calls_back=True))
    task = asyncio.create_task(operator.run())
    await until(lambda: operator.counts.called_back == 2, "both are called back")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    done = [(incident, action, body) for incident, action, body in state.commands if action in ("dial", "call_back")]
    assert done == [(one, *rest) for one in ("i1", "i2") for rest in (("dial", {"contact": "person"}), ("call_back", {}))]
    assert operator.disorder[0] == "the list has i1 i2"


async def test_whose_contact_calls_is_said_once(desk: tuple[Desk, str]) -> None:
    state, url = desk
    state.raise_row("i1", "call_answered", "major", name=None, caller="174****0001", leg="done")
    state.details["i1"] = {"incident": {"hints": [{"why": "contact", "id": "p-1"}, {"why": "redirecting", "id": "p-2"}]}}
    operator = Operator(url, Habits("测试", (0.0, 0.01), (0.0, 0.01)))
    task = asyncio.create_task(operator.run())
    await until(lambda: operator.counts.resolved == 1, "it goes on")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [(action, body) for _, action, body in state.commands if action == "identify"] == [("identify", {"person": "p-1"})]
