"""A house in memory that behaves: the real core over a list instead of a store, with invented people of an invented street.

python -m tests.console.fake_house --port 12349 [--quiet]      serves the console on it, with a life of its own unless --quiet
"""

import argparse
import asyncio
import contextlib
import functools
import random
import tempfile
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry

import gateway.console
from drivers.contract import Rejected, Verdict
from drivers.mqtt.mapping import ProfileState
from gateway.accounts import Accounts
from gateway.config import Config, ConsoleConfig, DispatchConfig, LineConfig, WebhookChannelConfig
from gateway.config.self_test import SelfTestConfig, SelfTestPoint
from gateway.console.http import make_app, serve
from gateway.core import absence, decide, orders, teams
from gateway.core.account import NO_ROWS, AccessWrite, AccountSession
from gateway.core.command import Command, on_command
from gateway.core.incident import Incident, LegState, Role
from gateway.core.matters import on_ruling
from gateway.core.register import Ability, Area, AreaKind, Category, Contact, Device, Person, Register, Responder, ResponderKind, Risk
from gateway.core.routing import SHOWN, Decision
from gateway.core.service_need import is_request, providers_for
from gateway.core.standing import Ruling
from gateway.core.state import Call, Draft, Record, WorkingSet
from gateway.core.territory import Standing
from gateway.correcting import Corrections
from gateway.ears import Ears
from gateway.errors import StoreDown
from gateway.event import Event, Kind, Phase, Position
from gateway.flood import Flood
from gateway.incident_clocks import IncidentClocks
from gateway.pipeline import Changes
from gateway.retention import Retention
from gateway.self_test.self_test import SelfTest
from gateway.service_level import ServiceLevels
from gateway.store.archive import Archive
from gateway.store.store import Batch, Store
from gateway.telephone import Telephone
from tests.console.register_folder import corrections_of

STATIC = Path(gateway.console.__file__).parent / "static"

SURNAMES, GIVEN = "王李张刘陈杨赵黄周吴徐孙马朱胡郭何高林罗", "秀英桂兰玉珍淑芳建国德福志明永贵凤霞海生"
STREETS = ("红古路", "花牌路", "平安路", "海石湾街", "河湾村")


class Line(msgspec.Struct):
    codec: str
    mandatory: bool
    state: str
    since: datetime
    reason: str = ""

    @property
    def is_live(self) -> bool:
        return self.state == "live"


class Row(msgspec.Struct):
    seq: int
    at: datetime
    kind: str
    phase: str
    actor: str | None
    facts: dict[str, object]


def invented_register(persons: int = 40, seed: int = 1) -> Register:
    """Forty invented people, each with a wearable, six stations and their centres. Numbers are of no use in telephony (+86199000…)."""
    chance = random.Random(seed)
    areas = [
        Area(id="honggu", name="红古区", kind=AreaKind.DISTRICT, lat=36.345, lon=102.86),
        Area(id="haishiwan", name="海石湾镇", kind=AreaKind.TOWN, parent="honggu", lat=36.345, lon=102.86),
        Area(id="pingan", name="平安镇", kind=AreaKind.TOWN, parent="honggu", lat=36.30, lon=102.95),
    ]
    people = [
        Person(
            id=f"p{i:03}",
            name=chance.choice(SURNAMES) + chance.choice(GIVEN) + chance.choice(GIVEN),
            born=chance.randint(1931, 1956),
            area=("haishiwan", "pingan")[i % 2],
            address=f"{('海石湾镇', '平安镇')[i % 2]}{STREETS[i % 5]}{i + 1}号{i % 4 + 1}单元{i % 6 + 1}02室",
            lat=36.345 + chance.uniform(-0.03, 0.03),
            lon=102.86 + chance.uniform(-0.03, 0.03),
            phones=(f"+86199000{i // 2 if i in (6, 7) else i:05}",),  # 6 and 7 share one: a couple
            ability=chance.choice(tuple(Ability)),
            categories=(chance.choice(tuple(Category)),),
            risks=tuple(chance.sample(tuple(Risk), chance.randint(0, 2))),
            contacts=(
                Contact(name="王小红", relation="女儿", phone=f"+86198000{i:05}"),
                Contact(name="赵邻居", relation="邻居", phone="+869315550000"),
            ),
            health_note="高血压, 糖尿病 (示例)",
        )
        for i in range(persons)
    ]
    responders = [
        Responder(
            id=f"station-{i + 1}",
            name=f"{name}驿站",
            kind=ResponderKind.STATION,
            parent="street-haishiwan",
            lat=36.345 + chance.uniform(-0.02, 0.02),
            lon=102.86 + chance.uniform(-0.02, 0.02),
            capacity=3,
        )
        for i, name in enumerate(("海石湾", "红古路", "花牌路", "平安", "河湾", "窑街"))
    ]
    responders += [
        Responder(
            id="street-haishiwan",
            name="海石湾镇综合为老服务中心",
            kind=ResponderKind.STREET_CENTRE,
            parent="district",
            areas=("haishiwan",),
            lat=36.346,
            lon=102.861,
            capacity=5,
        ),
        Responder(id="district", name="红古区居家养老管理中心", kind=ResponderKind.DISTRICT_CENTRE, areas=("honggu",), capacity=20),
        Responder(id="desk", name="12349 接警台", kind=ResponderKind.DESK, channel="console", capacity=1_000_000),
    ]
    devices = [Device(id=f"w{i:03}", line="wearables", person=person.id) for i, person in enumerate(people)]
    devices.append(Device(id="lobby-1", line="corridor", area="haishiwan", place="幸福小区大厅", lat=36.344, lon=102.859))
    return Register(district="honggu", name="红古区", persons=people, devices=devices, responders=responders, areas=areas)


CONFIG = Config(
    console=ConsoleConfig(accounts=False),
    line=(
        LineConfig(name="hotline", codec="hep", listen="udp:9060", mandatory=True),
        LineConfig(name="corridor", codec="espa444", listen="serial:/dev/panel0", mandatory=True),
        LineConfig(name="wearables", codec="generic", broker="mqtt://127.0.0.1:1883", mandatory=True),
    ),
)


# No wire leads out of this house: only connections are looked at, and one sentinel waits for a press.
POINTS = SelfTestConfig(
    point=(
        *(SelfTestPoint(name=line.name, line=line.name, how="path") for line in CONFIG.line),
        SelfTestPoint(name="lobby", line="corridor", how="press", device="lobby-1", sentinel=True, place="幸福小区大厅", area="haishiwan"),
    )
)


class Clock:
    """Seconds that a test sets."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class FakeHouse:
    """The House of gateway.console.seam. `offset` shifts its clock; `store_down` makes every command fail as a full disk does."""

    def __init__(self, register: Register | None = None, config: Config = CONFIG, secret_file: Path | None = None) -> None:
        self.register = register or invented_register()
        webhook = WebhookChannelConfig(secret_file=str(secret_file)) if secret_file else None
        self.config = msgspec.structs.replace(config, dispatch=DispatchConfig(webhook=webhook))
        self.offset = timedelta()
        self.store_down = False
        self.working_set = WorkingSet(self.register)
        self.lines = {line.name: Line(line.codec, line.mandatory, "live", self.now()) for line in config.line}
        self.journal: list[tuple[str | None, Row]] = []
        self.notes: list[tuple[Kind, str, dict[str, object]]] = []
        self.commands: list[Command] = []
        self.mapped: dict[str, list[ProfileState]] = {}  # line → its mapping profiles
        self.accounts = Accounts()
        self.kept: dict[str, AccountSession] = {}  # sessions as the store would have them
        self.page = None  # no responder page
        self.telephone = Telephone(self.config.telephone, "12349", lambda: None)
        self.clocks = IncidentClocks(self.config.profile)
        self.call_levels = ServiceLevels(self.config.calls.hotlines, self.config.hotline, self.config.profile)
        self.flood = Flood(lambda: self.working_set, self.note)
        self.ears = Ears(self.config.console, lambda: self.accounts, lambda: self.register, self.receive)
        self.shards: list[dict[str, object]] = []
        self.self_test = SelfTest(
            msgspec.structs.replace(self.config, self_test=POINTS), self.working_set, self.lines, dict, self.receive, self.note, CollectorRegistry()
        )
        self.told: list[tuple[str, str, tuple[str, ...]]] = []  # notices to stations
        self._writer = asyncio.Lock()  # one writer, as in the pipeline
        self._store: Store | None = None
        self._filing = threading.Lock()
        self._unfiled: list[Record] = []
        self._unstored: dict[str, Incident] = {}
        self._watchers: list[Callable[[Changes], None]] = []

    @property
    def incidents(self) -> dict[str, Incident]:
        return self.working_set.incidents

    @property
    def working(self) -> WorkingSet:
        return self.working_set

    def profiles(self, line: str) -> Sequence[ProfileState]:
        return self.mapped.get(line, ())

    @property
    def calls(self) -> dict[str, Call]:
        return self.working_set.calls

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset

    def candidates(self, incident: Incident) -> Decision:
        working_set = self.working_set
        draft, now = Draft(working_set), self.now()
        asked = {leg.responder for leg in incident.legs}
        if is_request(incident):
            return providers_for(draft, incident, now, asked, SHOWN)
        return working_set.router.choose(teams.need_of(draft, incident, Role.SOCIAL, now, asked), teams.around(draft, now), SHOWN)

    async def command(self, command: Command) -> Incident | None:
        async with self._writer:
            draft = Draft(self.working_set)
            incident = on_command(draft, command, self.now())
            await asyncio.sleep(0)  # a commit takes a moment, in which others may knock
            self._check_store()
            self.commands.append(command)
            self.settle(draft)
            return incident

    async def absence(self, wish: absence.Wish) -> None:
        async with self._writer:
            draft = Draft(self.working_set)
            absence.on_wish(draft, wish, self.now())
            self._check_store()
            self.settle(draft)

    async def rule(self, ruling: Ruling) -> Standing:
        async with self._writer:
            draft = Draft(self.working_set)
            standing = on_ruling(draft, ruling, self.now())
            self._check_store()
            self.settle(draft)
            return standing

    @property
    def standings(self) -> dict[str, Standing]:
        return self.working_set.standings

    def _check_store(self) -> None:
        if self.store_down:
            raise StoreDown("no space left on device")

    async def note(self, kind: Kind, actor: str, **facts: object) -> None:
        self._check_store()
        self.notes.append((kind, actor, facts))
        self._unfiled.append(Record(kind=kind, phase=Phase.STATE, at=self.now(), facts=msgspec.json.encode(facts), actor=actor))

    async def access(self, kind: Kind, actor: str | None, write: AccessWrite = NO_ROWS, **facts: object) -> None:
        self._check_store()
        self.notes.append((kind, actor or "", facts))
        self.accounts.take(write.accounts)
        self.kept.update((row.id, row) for row in write.sessions)
        for name in write.ended:
            self.kept.pop(name, None)

    def sessions_kept(self) -> Sequence[AccountSession]:
        return list(self.kept.values())

    @functools.cached_property
    def corrections(self) -> Corrections:
        """Of a district whose files say what the invented register says."""
        return corrections_of(self)

    def check_store(self) -> None:
        """Raises StoreDown."""
        self._check_store()

    async def incident_filed(self, platform: str, external: str) -> str | None:
        mine = [one.id for one in self.incidents.values() if f"{platform}:{external}" in one.externals]
        return mine[-1] if mine else None

    async def upward(self) -> list[dict[str, object]]:
        return []

    async def journal_feed(self, after: int, shard: int | None = None) -> tuple[bytes, int]:
        return b"", after + 100 * (shard or 0)

    def machinery(self) -> dict[str, object]:
        return {"rejected": [{"line": "corridor", "reason": "malformed", "count": 3}], "queues": {"orders": 0}}

    def shard_states(self) -> list[dict[str, object]]:
        return self.shards

    async def tell_stations(self, notice: str, text: str, responders: Sequence[Responder]) -> dict[str, int]:
        self.told.append((notice, text, tuple(one.id for one in responders)))
        return {"told": len(responders), "failed": 0, "silent": 0}

    @property
    def retention(self) -> Retention:
        raise NotImplementedError("nothing is stored here")

    async def short_message(self, headers: Mapping[str, str], content_type: str, body: bytes) -> tuple[int, str]:
        return 404, ""

    async def recall(self, incident_id: str) -> None:
        """Everything is in memory here."""

    async def timeline(self, incident_id: str) -> Sequence[Row]:
        self._check_store()
        return [row for name, row in self.journal if name == incident_id]

    def watch(self, callback: Callable[[Changes], None]) -> None:
        self._watchers.append(callback)

    async def receive(self, events: Sequence[Event | Rejected]) -> Sequence[Verdict]:
        if self.store_down:
            return [Verdict("refused", "store_down", retry=True) for _ in events]
        async with self._writer:
            draft = Draft(self.working_set)
            words = [decide.on_event(draft, event, self.now()) for event in events if isinstance(event, Event)]
            self.settle(draft)
        return [Verdict(word) if word in (decide.STORED, decide.DUPLICATE) else Verdict("refused", word) for word in words]

    @property
    def archive(self) -> Archive:
        """A database of its own, made when somebody first asks, with everything that has happened here."""
        with self._filing:
            if self._store is None:
                folder = tempfile.TemporaryDirectory(prefix="fake-house-")
                self._store = Store("sqlite:///gateway.db", Path(folder.name))
                self._store.open()
                weakref.finalize(self, lambda store: (store.close(), folder.cleanup()), self._store)
            records, self._unfiled = self._unfiled, []
            incidents, self._unstored = self._unstored, {}
            self._store.write(Batch(records=records, incidents=incidents.values()))
        return Archive(self._store.engine, self._store.journal)

    def settle(self, draft: Draft) -> None:
        self._unfiled.extend(draft.records)
        for record in draft.records:
            facts = msgspec.json.decode(record.facts, type=dict[str, object])
            self.journal.append((record.incident, Row(len(self.journal) + 1, record.at, record.kind, record.phase, record.actor, facts)))
        changes = Changes(incidents=frozenset(draft.incidents.written), calls=frozenset(draft.calls.written))
        draft.settle()
        self._unstored |= {name: self.incidents[name] for name in changes.incidents & self.incidents.keys()}
        for name in changes.incidents & self.incidents.keys():
            self.clocks.see(self.incidents[name], self.register, self.now())
        for watcher in self._watchers:
            watcher(changes)

    def change_line(self, name: str, state: str, reason: str = "") -> None:
        line = self.lines[name]
        self.lines[name] = Line(line.codec, line.mandatory, state, self.now(), reason)
        for watcher in self._watchers:
            watcher(Changes(lines=frozenset((name,))))

    # what happens in the field

    def event(self, kind: Kind, device: str | None = None, line: str = "wearables", **more: object) -> Event:
        now = self.now()
        return msgspec.structs.replace(Event(kind=kind, line=line, device=device, received_at=now, occurred_at=now), **more)

    async def cries(self, person: int, kind: Kind = Kind.SOS, **more: object) -> Incident:
        """The wearable of the person with this number sends an alarm; gives the incident."""
        await self.receive([self.event(kind, f"w{person:03}", **more)])
        return next(i for i in reversed(self.incidents.values()) if i.person == f"p{person:03}")

    async def calls_in(self, caller: str, state: Kind, call: str = "c1", agent: str | None = None) -> None:
        detail: dict[str, object] = {"call": call, "hotline": "12349", "caller_e164": caller, "caller": caller}
        if agent:
            detail["agent"] = agent
        await self.receive([self.event(state, line="hotline", phase=Phase.STATE, detail=detail)])

    async def deliver(self, failed: str | None = None) -> None:
        """Every waiting order leaves, or cannot."""
        draft = Draft(self.working_set)
        for incident in list(self.incidents.values()):
            for leg in incident.legs:
                if leg.pending:
                    orders.delivered(draft, leg.delivery, leg.repeat, leg.pending, failed, self.now())
        self.settle(draft)

    async def answers(self, delivery: str, answer: Kind, by: str = "张站长") -> None:
        leg = next(leg for incident in self.incidents.values() for leg in incident.legs if leg.delivery == delivery)
        await self.receive([self.event(answer, leg.responder, phase=Phase.STATE, detail={"delivery": delivery, "by": by})])

    async def pass_time(self) -> None:
        """Every deadline that is over is handled."""
        draft = Draft(self.working_set)
        for incident in list(self.incidents.values()):
            due = incident.next_deadline
            if incident.is_open and due is not None and due[1] <= self.now():
                decide.on_deadline(draft, incident, due[0], self.now())
        decide.on_due(draft, self.working_set.due.take(self.now(), 10_000), self.now())
        self.settle(draft)


async def live(house: FakeHouse, chance: random.Random) -> None:
    """An invented evening: people cry, stations answer, calls ring, deadlines pass, a line is lost and comes back."""
    kinds = [Kind.SOS] * 2 + [Kind.FALL, Kind.FALL_SUSPECTED, Kind.BED_EXIT] + [Kind.HELP] * 4 + [Kind.LOW_BATTERY] * 3
    turn = 0
    while True:
        await asyncio.sleep(1)
        turn += 1
        await house.deliver()
        await house.pass_time()
        if turn % 6 == 0 and sum(incident.is_open for incident in house.incidents.values()) < 60:
            await happens(house, chance, chance.choice(kinds))
        for incident in list(house.incidents.values()):
            for leg in incident.legs:
                moves = {LegState.SENT: Kind.ACCEPT, LegState.ACCEPTED: Kind.EN_ROUTE, LegState.EN_ROUTE: Kind.ARRIVED}
                if leg.state in moves and chance.random() < 0.04:
                    await house.answers(leg.delivery, moves[leg.state])
        if turn % 20 == 0:
            await house.calls_in(f"+86199000{chance.randrange(40):05}", Kind.CALL_RINGING, f"c{turn}")
        if turn % 20 == 8 and turn > 20:
            await house.calls_in(house.calls[f"hotline|c{turn - 8}"].detail["caller_e164"], Kind.CALL_ANSWERED, f"c{turn - 8}", "李娜")  # type: ignore[arg-type]
        if turn % 20 == 17 and turn > 20:
            for call in list(house.calls.values()):
                await house.calls_in(str(call.detail["caller_e164"]), Kind.CALL_ENDED, str(call.detail["call"]))
        if turn % 90 == 30:
            house.change_line("corridor", "lost", "port_closed")
        if turn % 90 == 40:
            house.change_line("corridor", "live")


async def happens(house: FakeHouse, chance: random.Random, kind: Kind) -> None:
    person = chance.randrange(len(house.register.persons))
    home = house.register.persons[f"p{person:03}"]
    position = Position(lat=(home.lat or 0) + 0.001, lon=home.lon or 0, source="gnss", accuracy_m=30, fixed_at=house.now())
    await house.cries(person, kind, **({"position": position} if chance.random() < 0.5 else {}))


async def evening(house: FakeHouse, chance: random.Random) -> None:
    """What stands on the page when it is opened."""
    for i, kind in enumerate(
        [Kind.SOS, Kind.FALL, Kind.SOS, Kind.BED_EXIT, Kind.FALL_SUSPECTED, Kind.HELP, Kind.HELP, Kind.INACTIVITY, Kind.LOW_BATTERY]
    ):
        house.offset = timedelta(seconds=20 * i - 200)
        await house.cries(i, kind)
    await house.cries(0)  # a second cry
    await house.deliver()
    house.offset = timedelta(seconds=-20)
    await house.receive([house.event(Kind.SOS, "lobby-1", "corridor"), house.event(Kind.SOS, "unknown-77", "corridor")])
    await house.calls_in("+8619900000003", Kind.CALL_ABANDONED, "c-lost")
    await house.calls_in("+8619900000003", Kind.CALL_RINGING, "c-couple")
    lost = "/dev/panel0: Connection was closed cleanly."
    house.change_line("corridor", "lost", lost)
    await house.receive([house.event(Kind.LINE_LOST, None, "corridor", detail={"reason": lost})])
    house.offset = timedelta()
    for _ in range(6):
        await happens(house, chance, Kind.HELP)


async def main(house: FakeHouse | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=12349)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quiet", action="store_true", help="nothing happens by itself")
    options = parser.parse_args()
    house, chance = house or FakeHouse(), random.Random(options.seed)
    await evening(house, chance)
    app = make_app(house, static_dir=STATIC, metrics_registry=CollectorRegistry())
    print(f"http://{options.host}:{options.port}/ (invented people)", flush=True)
    async with asyncio.TaskGroup() as group:
        if not options.quiet:
            group.create_task(live(house, chance))
        group.create_task(serve(app, options.host, options.port))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
