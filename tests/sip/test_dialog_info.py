"""Calls out of dialog-info: the bodies, and whole calls as Asterisk's poor form and the rich form tell them."""

import random
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from codec_checks import mutate
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.contract import Rejected, Signal
from drivers.pbx.dialog_body import REASONS, read_dialog_info
from drivers.pbx.dialog_info import MAX_LEGS, RESTORE_S, SETTLE_S, DialogWatch
from drivers.pbx.ledger import TALK_GUARD_S
from drivers.sip.number import NumberPlan
from drivers.sip.xml_body import MalformedXml

ROWS: list[dict[str, Any]] = tomllib.loads((Path(__file__).parent.parent / "vectors" / "sip" / "dialog_info.toml").read_text("utf-8"))["body"]
START = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
ELDER, NEIGHBOUR = "13893112345", "09318412345"
AGENTS = {"8001": "李娜", "8002": "王强"}


@pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])
def test_body(row: dict[str, Any]) -> None:
    body = row["xml"].lstrip().encode()
    if "reason" in row:
        with pytest.raises(MalformedXml) as refusal:
            read_dialog_info(body)
        assert refusal.value.reason == row["reason"]
        return
    info = read_dialog_info(body)
    assert (info.version, info.is_full) == (row.get("version"), row["full"])
    names = ("id", "state", "direction", "call_id", "remote", "remote_name", "local", "event", "code")
    told = [{name: value for name in names if (value := getattr(dialog, name)) or name in ("id", "state")} for dialog in info.dialogs]
    assert told == row["dialogs"]


class Switchboard:
    """An exchange with phones that are watched: says what its NOTIFYs say, and collects what the watch makes of it."""

    def __init__(self, agents: dict[str, str] = AGENTS, **options: Any) -> None:
        self.watch = DialogWatch("blf", NumberPlan(hotlines=("12349",), area_code="0931"), agents, "12349", **options)
        self.now = 1000.0
        self.versions: dict[str, int] = {}
        self.news: list[Signal | Rejected] = []
        for extension in agents:
            self.watch.subscribed(f"sip:{extension}@pbx")

    @property
    def at(self) -> datetime:
        return START + timedelta(seconds=self.now - 1000)

    def notify(self, extension: str, *dialogs: str, state: str = "full", version: int | None = None) -> None:
        self.versions[extension] = self.versions.get(extension, -1) + 1 if version is None else version
        body = f'<dialog-info version="{self.versions[extension]}" state="{state}" entity="sip:{extension}@pbx">{"".join(dialogs)}</dialog-info>'
        self.news += self.watch.receive(f"sip:{extension}@pbx", body.encode(), self.now, self.at, body.encode())

    def rings(self, extension: str, caller: str = ELDER, **more: Any) -> None:
        self.notify(extension, poor(extension, "early", caller), **more)

    def taken(self, extension: str) -> None:
        self.notify(extension, poor(extension, "confirmed"))

    def idle(self, extension: str) -> None:
        self.notify(extension, poor(extension, "terminated"))

    def wait(self, seconds: float) -> None:
        self.now += seconds
        due = self.watch.deadline()
        if due is not None and due <= self.now:
            self.news += self.watch.handle_deadline(self.now, self.at)

    @property
    def kinds(self) -> list[str]:
        return [item.kind.value.removeprefix("call_") for item in self.news if isinstance(item, Signal)]

    @property
    def last(self) -> Signal:
        signal = self.news[-1]
        assert isinstance(signal, Signal)
        return signal


def poor(extension: str, state: str, caller: str = "") -> str:
    """As Asterisk writes it (sip-ua, section 6): the caller only while it rings."""
    remote = f' direction="recipient"><remote><identity>sip:{caller}@pbx</identity></remote>' if state == "early" else ">"
    return f'<dialog id="{extension}"{remote}<state>{state}</state></dialog>'


def rich(call_id: str, state: str, caller: str = ELDER, event: str = "", code: int = 0, direction: str = "recipient") -> str:
    ended = (f' event="{event}"' if event else "") + (f' code="{code}"' if code else "")
    return (
        f'<dialog id="{call_id}-1" call-id="{call_id}" local-tag="l" remote-tag="r" direction="{direction}">'
        f"<remote><identity>sip:{caller}@pbx</identity></remote><state{ended}>{state}</state></dialog>"
    )


def test_asterisk_call_rings_is_taken_and_ends() -> None:
    pbx = Switchboard()
    pbx.idle("8001")
    pbx.rings("8001")
    assert pbx.kinds == ["offered", "ringing"]
    assert {name: pbx.last.detail[name] for name in ("caller", "caller_e164", "hotline", "state", "identity_source", "verified")} == {
        "caller": ELDER,
        "caller_e164": "+86" + ELDER,
        "hotline": "12349",
        "state": "ringing",
        "identity_source": "dialog_info",
        "verified": False,
    }
    pbx.wait(4)
    pbx.taken("8001")
    assert (pbx.last.detail["agent"], pbx.last.detail["agent_name"], pbx.last.device) == ("8001", "李娜", "+86" + ELDER)
    pbx.wait(60)
    pbx.idle("8001")
    assert pbx.kinds == ["offered", "ringing", "answered", "ended"]
    assert "inferred" not in pbx.last.detail
    assert len(pbx.watch) == 0
    assert len({signal.dedup for signal in pbx.news if isinstance(signal, Signal)}) == 4


def test_several_phones_ringing_for_one_caller_are_one_call() -> None:
    pbx = Switchboard()
    pbx.rings("8001")
    pbx.rings("8002")
    pbx.idle("8001")  # the exchange stops the others first
    pbx.taken("8002")
    pbx.wait(SETTLE_S + 1)
    pbx.idle("8002")
    assert pbx.kinds == ["offered", "ringing", "answered", "ended"]
    assert pbx.last.detail["agent"] == "8002"


def test_two_callers_are_two_calls() -> None:
    pbx = Switchboard()
    pbx.rings("8001")
    pbx.rings("8002", NEIGHBOUR)
    pbx.taken("8002")
    pbx.taken("8001")
    assert pbx.kinds == ["offered", "ringing", "offered", "ringing", "answered", "answered"]
    assert [signal.detail["caller"] for signal in pbx.news[-2:] if isinstance(signal, Signal)] == [NEIGHBOUR, ELDER]


def test_the_queue_asks_one_phone_after_the_other_and_then_nobody_has_taken_it() -> None:
    pbx = Switchboard()
    pbx.rings("8001")
    pbx.wait(15)
    pbx.idle("8001")
    pbx.wait(5)  # Asterisk's pause
    pbx.rings("8002")
    pbx.wait(15)
    pbx.idle("8002")
    stopped = pbx.at
    pbx.wait(SETTLE_S - 0.1)
    assert pbx.kinds == ["offered", "ringing"]
    pbx.wait(0.2)
    assert pbx.kinds == ["offered", "ringing", "missed"]
    assert (pbx.last.detail["inferred"], pbx.last.detail["reason"], pbx.last.time) == (True, "not_taken", stopped)
    assert pbx.watch.deadline() is None


def test_a_second_attempt_of_the_same_caller_is_a_second_call() -> None:
    pbx = Switchboard()
    for _ in range(2):
        pbx.rings("8001")
        pbx.idle("8001")
        pbx.wait(SETTLE_S)
    assert pbx.kinds == ["offered", "ringing", "missed"] * 2
    assert len({signal.detail["call"] for signal in pbx.news if isinstance(signal, Signal)}) == 2


def test_confirmed_without_ringing_is_an_outgoing_call() -> None:
    pbx = Switchboard()
    pbx.taken("8001")
    pbx.idle("8001")
    pbx.notify("8002", rich("out", "early", direction="initiator"))
    pbx.notify("8002", rich("out", "confirmed", direction="initiator"))
    pbx.wait(SETTLE_S)
    assert pbx.news == []


def test_one_desk_calling_another_is_nobodys_alarm() -> None:
    pbx = Switchboard()
    pbx.rings("8001", "8002")
    pbx.taken("8001")
    pbx.idle("8001")
    assert pbx.news == []


def test_a_caller_whom_nobody_names_is_still_a_call() -> None:
    pbx = Switchboard()
    pbx.rings("8001", "anonymous")
    pbx.rings("8002", "anonymous")
    pbx.taken("8002")
    assert pbx.kinds == ["offered", "ringing", "answered"]
    assert pbx.last.device is None
    pbx.idle("8002")
    pbx.idle("8001")
    pbx.rings("8001", "anonymous")
    assert pbx.kinds[-2:] == ["offered", "ringing"]


def test_a_number_told_late_is_a_correction() -> None:
    pbx = Switchboard()
    pbx.rings("8001", "anonymous")
    pbx.rings("8001", ELDER)
    assert pbx.kinds == ["offered", "ringing", "ringing"]
    assert (pbx.last.detail["correction"], pbx.last.device) == (True, "+86" + ELDER)


def test_a_phone_that_shows_the_next_caller_has_lost_the_one_before() -> None:
    pbx = Switchboard()
    pbx.rings("8001")
    pbx.rings("8001", NEIGHBOUR)
    pbx.wait(SETTLE_S)
    assert pbx.kinds == ["offered", "ringing", "offered", "ringing", "missed"]
    assert pbx.last.detail["caller"] == ELDER
    pbx.taken("8001")
    assert (pbx.kinds[-1], pbx.last.detail["caller"]) == ("answered", NEIGHBOUR)


def test_a_second_call_at_a_busy_asterisk_phone_is_not_swallowed() -> None:
    pbx = Switchboard()
    pbx.rings("8001")
    pbx.taken("8001")
    pbx.rings("8001", NEIGHBOUR)
    assert pbx.kinds == ["offered", "ringing", "answered", "offered", "ringing"]
    pbx.taken("8001")  # one of the two is gone; which, the exchange does not say
    pbx.wait(SETTLE_S)
    assert (pbx.kinds[-1], pbx.last.detail["caller"], pbx.last.detail["inferred"]) == ("missed", NEIGHBOUR, True)
    pbx.idle("8001")
    assert (pbx.kinds[-1], pbx.last.detail["caller"]) == ("ended", ELDER)


def test_rich_form_ends_by_whom_and_why() -> None:
    pbx = Switchboard()
    pbx.notify("8001", rich("a", "proceeding"))
    assert pbx.kinds == ["offered"]
    pbx.notify("8001", rich("a", "early"))
    pbx.notify("8001", rich("a", "confirmed"))
    pbx.notify("8001", rich("a", "terminated", event="remote-bye"))
    assert pbx.kinds == ["offered", "ringing", "answered", "ended"]
    assert (pbx.last.detail["by"], pbx.last.kind_raw) == ("caller", "terminated:remote-bye")
    assert str(pbx.last.detail["exchange_call"]).startswith("a ")
    pbx.notify("8002", rich("b", "early", NEIGHBOUR))
    pbx.notify("8002", rich("b", "terminated", NEIGHBOUR, event="rejected", code=486))
    pbx.wait(SETTLE_S)
    assert (pbx.kinds[-1], pbx.last.detail["reason"]) == ("missed", "busy")


def test_freeswitch_rings_all_with_a_call_id_for_each() -> None:
    pbx = Switchboard()
    pbx.notify("8001", rich("leg-1", "early"))
    pbx.notify("8002", rich("leg-2", "early"))
    pbx.notify("8001", rich("leg-1", "terminated", event="cancelled", code=487))
    pbx.notify("8002", rich("leg-2", "confirmed"))
    pbx.notify("8002", rich("leg-2", "terminated", event="local-bye"))
    pbx.wait(SETTLE_S)
    assert pbx.kinds == ["offered", "ringing", "answered", "ended"]
    assert (pbx.last.detail["agent"], pbx.last.detail["by"]) == ("8002", "agent")


def test_kamailio_fork_shares_its_call_id_even_when_nobody_is_named() -> None:
    pbx = Switchboard()
    pbx.notify("8001", rich("one", "early", "anonymous"))
    pbx.notify("8002", rich("one", "early", "anonymous"))
    pbx.notify("8002", rich("two", "early", "anonymous"), state="partial")
    assert pbx.kinds == ["offered", "ringing", "offered", "ringing"]


def test_an_automatic_answer_is_an_answered_call() -> None:
    pbx = Switchboard()
    pbx.notify("8001", rich("a", "confirmed"))
    assert pbx.kinds == ["offered", "answered"]


def test_a_transfer_to_another_phone_goes_on() -> None:
    pbx = Switchboard()
    pbx.rings("8001")
    pbx.taken("8001")
    pbx.rings("8002")
    pbx.taken("8002")
    pbx.idle("8001")
    assert pbx.kinds == ["offered", "ringing", "answered", "transferred"]
    pbx.idle("8002")
    assert (pbx.kinds[-1], pbx.last.detail["agent"]) == ("ended", "8002")


def test_replaced_waits_for_the_phone_that_goes_on() -> None:
    pbx = Switchboard()
    pbx.notify("8001", rich("a", "early"))
    pbx.notify("8001", rich("a", "confirmed"))
    pbx.notify("8001", rich("a", "terminated", event="replaced"))
    pbx.notify("8002", rich("b", "confirmed"))
    assert pbx.kinds == ["offered", "ringing", "answered", "transferred"]
    pbx.notify("8002", rich("b", "terminated", event="replaced"))
    pbx.wait(SETTLE_S)
    assert (pbx.kinds[-1], pbx.last.detail["inferred"], pbx.last.detail["reason"]) == ("ended", True, "replaced")


def test_a_watched_hotline_number_is_a_queue_when_phones_are_watched_too() -> None:
    pbx = Switchboard()
    pbx.notify("12349", rich("a", "early"))
    pbx.notify("12349", rich("a", "confirmed"))
    assert pbx.kinds == ["offered", "ringing"]
    pbx.notify("8001", rich("b", "early"))
    pbx.notify("8001", rich("b", "confirmed"))
    assert (pbx.kinds[-1], pbx.last.detail["agent"]) == ("answered", "8001")
    pbx.notify("8001", rich("b", "terminated", event="local-bye"))
    assert pbx.kinds == ["offered", "ringing", "answered", "ended"]
    pbx.notify("12349", rich("c", "confirmed", NEIGHBOUR))
    pbx.notify("12349", rich("c", "terminated", NEIGHBOUR, event="remote-bye"))
    pbx.wait(SETTLE_S)
    assert (pbx.kinds[-1], pbx.last.detail["by"]) == ("abandoned", "caller")


def test_a_hotline_number_watched_alone_answers_itself() -> None:
    pbx = Switchboard({})
    pbx.notify("12349", rich("a", "early"))
    pbx.notify("12349", rich("a", "confirmed"))
    pbx.notify("12349", rich("a", "terminated", event="remote-bye"))
    assert pbx.kinds == ["offered", "ringing", "answered", "ended"]
    assert "agent" not in pbx.last.detail


def test_extensions_of_another_hotline() -> None:
    pbx = Switchboard(hotlines={"8002": "12345"})
    pbx.rings("8002")
    assert pbx.last.detail["hotline"] == "12345"


def test_versions_that_have_been_there_are_dropped() -> None:
    pbx = Switchboard()
    pbx.rings("8001", version=5)
    pbx.notify("8001", poor("8001", "terminated"), version=5)
    pbx.notify("8001", poor("8001", "terminated"), version=4)
    pbx.wait(SETTLE_S)
    assert (pbx.kinds, pbx.watch.stale) == (["offered", "ringing"], 2)


def test_an_exchange_that_counts_anew_is_heard_again() -> None:
    pbx = Switchboard()
    pbx.notify("8001", version=900)
    for version in range(3):
        pbx.notify("8001", poor("8001", "early", ELDER), version=version)
    assert pbx.kinds == ["offered", "ringing"]
    pbx.watch.subscribed("sip:8002@pbx")
    pbx.notify("8002", version=50)
    pbx.watch.subscribed("sip:8002@pbx")  # a new subscription counts from 0
    pbx.rings("8002", NEIGHBOUR, version=0)
    assert pbx.kinds[-2:] == ["offered", "ringing"]


def test_a_gap_before_a_partial_state_asks_for_the_full_one() -> None:
    pbx = Switchboard()
    pbx.notify("8001", version=0)
    pbx.notify("8001", rich("a", "early"), state="partial", version=1)
    assert pbx.watch.refreshes() == []
    pbx.notify("8001", rich("b", "early", NEIGHBOUR), state="partial", version=3)
    assert (pbx.watch.refreshes(), pbx.watch.refreshes()) == (["8001"], [])
    assert pbx.kinds == ["offered", "ringing", "offered", "ringing"]  # partial: what is not listed goes on
    pbx.notify("8001", rich("b", "early", NEIGHBOUR), version=4)  # full: what is not listed is over
    pbx.wait(SETTLE_S)
    assert (pbx.kinds[-1], pbx.last.detail["caller"]) == ("missed", ELDER)


def test_restored_calls_go_on_where_a_phone_shows_them() -> None:
    before = Switchboard()
    before.rings("8001")
    before.taken("8001")
    answered = before.last.detail
    before.rings("8002", NEIGHBOUR)
    ringing = before.last.detail
    after = Switchboard()
    assert after.watch.restore([answered, ringing, {"call": 1}], after.now) == 2
    after.taken("8001")  # nobody is named, but this phone had the call
    after.rings("8002", NEIGHBOUR)
    after.wait(RESTORE_S)
    assert after.news == []
    after.idle("8001")
    after.taken("8002")
    assert after.kinds == ["ended", "answered"]
    assert [signal.detail["call"] for signal in after.news if isinstance(signal, Signal)] == [answered["call"], ringing["call"]]


def test_restored_calls_that_no_phone_shows_are_over() -> None:
    before = Switchboard()
    before.rings("8001")
    before.taken("8001")
    answered = before.last.detail
    before.rings("8002", NEIGHBOUR)
    after = Switchboard()
    after.watch.restore([answered, before.last.detail], after.now)
    after.idle("8001")
    after.wait(RESTORE_S)
    assert sorted(after.kinds) == ["ended", "missed"]
    assert {(signal.detail["inferred"], signal.detail["reason"]) for signal in after.news if isinstance(signal, Signal)} == {(True, "restart")}


def test_a_call_that_nobody_ends_is_ended_in_the_end() -> None:
    pbx = Switchboard()
    pbx.rings("8001")
    pbx.taken("8001")
    pbx.wait(TALK_GUARD_S)
    assert (pbx.kinds[-1], pbx.last.detail["inferred"]) == ("ended", True)


def test_tables_are_bounded() -> None:
    pbx = Switchboard()
    for page in range(MAX_LEGS // 100 + 2):
        pbx.notify("8001", *(rich(f"{page}-{number}", "early", f"139{page:04}{number:04}") for number in range(100)), state="partial")
    assert len(pbx.watch._legs) == MAX_LEGS
    assert pbx.watch.refused > 0


def test_a_body_that_is_none_is_rejected_and_changes_nothing() -> None:
    pbx = Switchboard()
    pbx.rings("8001")
    news = pbx.watch.receive("sip:8001@pbx", b"<dialog-info", pbx.now, pbx.at, b"<dialog-info")
    assert [item.reason for item in news if isinstance(item, Rejected)] == ["bad_xml"]
    pbx.taken("8001")
    assert pbx.kinds == ["offered", "ringing", "answered"]


@settings(max_examples=400)
@given(seed=st.integers(0, 2**32))
def test_no_bytes_raise_and_every_call_is_told_in_order(seed: int) -> None:
    rng = random.Random(seed)
    bodies = [row["xml"].lstrip().encode() for row in ROWS]
    pbx = Switchboard()
    for _ in range(20):
        extension, caller = rng.choice(("8001", "8002", "12349")), rng.choice((ELDER, NEIGHBOUR, "anonymous"))
        state, event = rng.choice(("early", "confirmed", "terminated", "proceeding", "odd")), rng.choice(("", "remote-bye", "replaced", "cancelled"))
        match rng.randrange(4):
            case 0:
                pbx.news += pbx.watch.receive(f"sip:{extension}@pbx", mutate(bodies, rng), pbx.now, pbx.at, b"")
            case 1:
                pbx.notify(extension, poor(extension, state, caller))
            case 2:
                pbx.notify(extension, rich(rng.choice("ab"), state, caller, event), state=rng.choice(("full", "partial")))
            case _:
                pbx.wait(rng.choice((1, SETTLE_S, 50)))
    for extension in ("8001", "8002", "12349"):
        pbx.watch.subscribed(f"sip:{extension}@pbx")  # a broken body may have said any version
        pbx.notify(extension)
    pbx.wait(SETTLE_S)
    assert len(pbx.watch) == 0, "no phone shows anything: no call goes on"
    identities = [item.dedup for item in pbx.news if isinstance(item, Signal)]
    assert len(set(identities)) == len(identities)
    told: dict[object, list[str]] = {}
    for item in pbx.news:
        if isinstance(item, Rejected):
            assert item.reason in REASONS
        elif "correction" not in item.detail:
            told.setdefault(item.detail["call"], []).append(item.kind.value)
    for kinds in told.values():
        assert kinds[-1] in ("call_ended", "call_missed", "call_abandoned")
        assert kinds[0] == "call_offered"
        assert kinds.count("call_offered") == 1
        assert sum(kind in ("call_ended", "call_missed", "call_abandoned") for kind in kinds[:-1]) == 0, kinds
