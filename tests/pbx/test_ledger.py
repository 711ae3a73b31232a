"""The ledger of calls: each step told once, final calls final, merges and restarts, bounds."""

from datetime import UTC, datetime

import pytest

from drivers.contract import Signal
from drivers.pbx import ledger as module
from drivers.pbx.ledger import FINAL_S, TALK_GUARD_S, Ledger, LedgerCall
from drivers.sip.number import NumberPlan
from gateway.event import Kind

AT = datetime(2026, 6, 12, 4, tzinfo=UTC)
PLAN = NumberPlan(hotlines=("12349",), area_code="0931")


def a_ledger(line: str = "pbx") -> Ledger:
    return Ledger(line, PLAN, {"8001": "Li"}, "ami")


def offered(ledger: Ledger, token: str = "1.1", now: float = 0.0, caller: str = "017400000001") -> LedgerCall:
    ledger.offer(token, ledger.caller(caller), "12349", "12349", now, AT, b"raw", "Newchannel")
    call = ledger.call(token)
    assert call is not None
    return call


def told(found: list[Signal]) -> list[str]:
    return [one.kind.value for one in found]


def rest(now: float) -> tuple[float, datetime, bytes, str]:
    return now, AT, b"", "test"


def test_each_step_is_told_once_and_nothing_after_the_end() -> None:
    ledger = a_ledger()
    call = offered(ledger)
    assert ledger.offer("1.1", ledger.caller(""), "", "12349", 0, AT, b"", "again") == []
    assert told(ledger.ring(call, *rest(1)) + ledger.ring(call, *rest(2))) == ["call_ringing"]
    assert told(ledger.answer(call, "8001", *rest(3)) + ledger.answer(call, "8001", *rest(4))) == ["call_answered"]
    assert told(ledger.answer(call, "8002", *rest(5))) == ["call_transferred"]
    [end] = ledger.end(call, "caller", *rest(6))
    assert (end.kind, end.detail["by"], end.detail["agent"], end.detail["transfers"]) == (Kind.CALL_ENDED, "caller", "8002", 1)
    again = ledger.end(call, None, *rest(7)) + ledger.lose(call, True, "", *rest(7)) + ledger.answer(call, "8003", *rest(7))
    assert again + ledger.ring(call, *rest(7)) + ledger.learn(call, ledger.caller("017400000009"), AT, b"", "x") == []
    assert (call.by, call.agent, len(ledger), list(ledger)) == ("caller", "8002", 0, [])


def test_a_late_straggler_does_not_open_a_final_call_again_and_tables_empty() -> None:
    ledger = a_ledger()
    call = offered(ledger)
    ledger.lose(call, True, "", *rest(1))
    assert ledger.offer("1.1", ledger.caller(""), "", "12349", FINAL_S, AT, b"", "again") == []
    assert ledger.find(call.key) is None
    other = offered(ledger, "2.2", FINAL_S + 2)
    assert ledger.call("1.1") is None
    assert list(ledger) == [other]


def test_two_exchanges_never_share_a_key() -> None:
    assert offered(a_ledger("a")).key != offered(a_ledger("b")).key


def test_a_merge_ends_the_younger_in_the_elder() -> None:
    ledger = a_ledger()
    elder, younger = offered(ledger, "1.1"), offered(ledger, "2.2", caller="017400000002")
    [end] = ledger.merge(elder, younger, *rest(3))
    assert (end.kind, end.detail["reason"], end.detail["merged_into"], end.detail.get("inferred")) == (Kind.CALL_ENDED, "merged", elder.key, None)
    assert ledger.call("2.2") is elder
    assert ledger.find(younger.key) is elder
    assert ledger.merge(elder, younger, *rest(4)) == []
    assert (len(ledger), ledger.offer("2.2", ledger.caller(""), "", "12349", 5, AT, b"", "x")) == (1, [])
    ledger.end(elder, None, *rest(6))
    offered(ledger, "3.3", 7 + FINAL_S)
    assert [ledger.call(token) for token in ("1.1", "2.2")] == [None, None]
    assert ledger.find(younger.key) is None


def test_another_name_of_the_same_call() -> None:
    ledger = a_ledger()
    call = offered(ledger)
    ledger.alias(call, "0.5")
    assert ledger.call("0.5") is call
    assert ledger.lose_sight(["0.5"], 9, "gone") == []
    assert told(ledger.lose_sight([], 9, "gone")) == ["call_ended"]


def test_a_number_learnt_late_is_a_correction_with_its_own_identity() -> None:
    ledger = a_ledger()
    ledger.offer("1.1", ledger.caller("", restricted=True), "12349", "12349", 0, AT, b"", "x")
    call = ledger.call("1.1")
    assert call is not None
    [one] = ledger.learn(call, ledger.caller("017400000001"), AT, b"", "NewCallerid")
    assert (one.kind, one.device, one.detail["correction"]) == (Kind.CALL_OFFERED, "+8617400000001", True)
    assert ledger.learn(call, ledger.caller("017400000001"), AT, b"", "NewCallerid") == []
    assert one.dedup != f"{call.key}:call_offered"


def test_losing_sight_spares_what_is_younger_than_the_list() -> None:
    ledger = a_ledger()
    offered(ledger, "1.1", 10)
    offered(ledger, "2.2", 20)
    [one] = ledger.lose_sight([], 30, "gone", opened_before=20)
    assert (one.detail["exchange_call"], one.detail["inferred"], one.detail["reason"]) == ("1.1", True, "gone")


def test_a_call_nobody_ends_is_ended_after_the_guard_counted_from_its_last_news() -> None:
    ledger = a_ledger()
    assert ledger.deadline() is None
    call = offered(ledger, "1.1", 0)
    offered(ledger, "2.2", 5)
    ledger.answer(call, "8001", *rest(100))
    assert ledger.deadline() == 5 + TALK_GUARD_S
    [one] = ledger.handle_deadline(5 + TALK_GUARD_S)
    assert (one.detail["exchange_call"], one.detail["reason"], one.detail["inferred"]) == ("2.2", "no_end_seen", True)
    assert ledger.deadline() == 100 + TALK_GUARD_S


def test_restored_calls_go_on_and_tell_nothing_twice() -> None:
    before = a_ledger()
    call = offered(before)
    before.ring(call, *rest(1))
    before.answer(call, "8001", *rest(2))
    [last] = before.transfer(call, "8002", *rest(3))
    after = a_ledger()
    assert after.restore([last.detail, last.detail, {"call": 5}, {**last.detail, "exchange_call": "9", "state": "ended"}], 50) == 1
    kept = after.find(call.key)
    assert kept is not None
    assert (kept.agent, kept.caller.e164, kept.restored) == ("8002", "+8617400000001", True)
    assert after.answer(kept, "8002", *rest(51)) == []
    [one] = after.answer(kept, "8001", *rest(52))
    assert one.dedup != last.dedup, "a third agent is a second transfer, also over a restart"


def test_events_already_told_do_not_change_afterwards() -> None:
    ledger = a_ledger()
    elder = offered(ledger, "1.1")
    for number in (2, 3):
        ledger.merge(elder, offered(ledger, f"{number}.0"), *rest(1))
        if number == 2:
            [told_before] = ledger.ring(elder, *rest(2))
    merged = told_before.detail["merged"]
    assert isinstance(merged, list)
    assert len(merged) == 1


def test_the_table_is_bounded_and_says_what_it_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CALLS", 3)
    ledger = a_ledger()
    for number in range(5):
        ledger.offer(f"{number}.0", ledger.caller(""), "", "12349", 0, AT, b"", "x")
    assert (len(ledger), ledger.refused) == (3, 2)


def test_names_and_facts_of_the_detail() -> None:
    ledger = a_ledger()
    call = offered(ledger)
    call.queue, call.facts["hold_s"], call.agent_name = "help", 2.0, "from the exchange"
    [one] = ledger.answer(call, "8001", *rest(1))
    assert (one.detail["agent_name"], one.detail["queue"], one.detail["hold_s"]) == ("Li", "help", 2.0)
    [two] = ledger.transfer(call, "8009", *rest(2))
    assert two.detail["agent_name"] == "from the exchange"
