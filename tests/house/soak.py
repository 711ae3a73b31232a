"""A soak: mixed load for hours, a fault every so often; memory by linear regression, open files and threads flat, books balanced at the end.

Load: signs of life, cries, panel calls, buttons, telephone calls, stations that do what they are told, an operator who closes everything, consoles
that come and go. Faults, in turn: broker restarted, serial ports unplugged, garbage on every wire, many consoles that break off, SIGHUP, a full disk
(root only: a tmpfs), and SIGKILL where wanted.
"""

import asyncio
import contextlib
import os
import random
import socket
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiomqtt
import msgspec
import numpy
from crowd import Crowd
from house import District, House, Setting
from servers import until
from websockets.asyncio.client import connect

from simulators.operator import Habits, Operator
from simulators.pbx import Outcome
from simulators.stations import Behaviour, Order
from simulators.wearables import Message

BACK_S = 120.0  # the longest pause between two tries is 30 s
SAMPLE_S = 1.0
FULL_S = 3.0  # how long the disk is full
CONSOLE_S = (0.5, 6.0)
AT_ONCE = 40  # consoles that break off together
GARBAGE = 40  # pieces on each wire
ROOM_MIB = 512
FILES_MORE = 8  # a few connections of a pool, opened late; a leak is one for each of some hundred consoles and faults
THREADS_MORE = 4  # of the pool of threads (five or six here), made when first wanted


@dataclass(frozen=True, slots=True)
class Soak:
    """How long, how much a second, how often a fault."""

    seconds: float
    fault_every_s: float
    kills: bool = False
    alarms_s: float = 1.0
    beats_s: float = 50.0
    consoles_s: float = 0.5
    seed: int = 12349

    @property
    def warm_s(self) -> float:
        """Not counted: closed incidents stay for fifteen minutes, and the cache of who writes to SQLite is full after 4,000 of them."""
        return min(2400.0, self.seconds / 3)


@dataclass(slots=True)
class Life:
    """One process: (seconds since its start, resident MiB, open files, threads)."""

    began: float
    samples: list[tuple[float, float, int, int]] = field(default_factory=list)

    def slope_mib_h(self, after_s: float) -> float | None:
        """Of the resident memory, None for a life too short to tell."""
        rows = [(at, mib) for at, mib, _, _ in self.samples if at >= after_s]
        if len(rows) < 10:
            return None
        at, mib = numpy.array(rows).T
        return float(numpy.polyfit(at, mib, 1)[0] * 3600)


class SoakHouse(House):
    """Wearables are supervised, and tables that fill are full early."""

    program = (str(Path(__file__).with_name("small_tables.py")),)

    def write_config(self) -> None:
        super().write_config()
        text = self.config.read_text().replace('name = "wearables"\n', 'name = "wearables"\ndevice_class = "watch"\n')
        self.config.write_text(text + '\n[[device_class]]\nname = "watch"\ninterval_s = 14400\ngrace_s = 3600\n')


class SteadyCrowd(Crowd):
    """Everybody, at a pace, without end; every station does what it is told, soon."""

    def _choose(self, order: Order, _before: int) -> Behaviour:
        return Behaviour("helpful", answer_after=(0.1, 1.0), travel=(0.5, 2.0), work=(0.5, 2.0))

    async def live(self, told: Soak) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._paced(told.alarms_s, self._cry))
            group.create_task(self._paced(told.beats_s, self._beat))
            group.create_task(self._paced(0.2, self._call_of_a_room))
            group.create_task(self._paced(0.2, self._button))
            group.create_task(self._paced(0.2, self._telephone))

    async def _paced(self, rate: float, act: Callable[[int], Awaitable[None]]) -> None:
        began, count = time.monotonic(), 0
        while True:
            for _ in range(min(20, int((time.monotonic() - began) * rate) - count)):
                await act(count)
                count += 1
            await asyncio.sleep(0.05)  # a pace, no waiting for anything

    async def _cry(self, _number: int) -> None:
        self._say(self.house.district.wearable(self.random.randrange(self.house.district.wearables)))

    async def _beat(self, number: int) -> None:
        self.fleet.send(self.house.district.wearable(number % self.house.district.wearables), "heartbeat", battery=80)

    async def _call_of_a_room(self, number: int) -> None:
        if len(self.panel.calls) - self.panel.confirmed < 5:
            self.panel.press(self.house.district.room(number % self.house.district.rooms), f"ROOM {number}")

    async def _button(self, number: int) -> None:
        await self.receiver.press(self.house.district.button(number % self.house.district.buttons))

    async def _telephone(self, number: int) -> None:
        outcome = self.random.choice([Outcome.ANSWERED, Outcome.QUEUED, Outcome.ABANDONED, Outcome.NO_ANSWER])
        caller = self.house.district.caller(number % self.house.district.callers)
        call = asyncio.create_task(self.pbx.call(f"call {number}", caller, outcome, ring_s=0.2, talk_s=self.random.uniform(0.3, 4.0)))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)


class Play:
    """One soak."""

    def __init__(self, house: SoakHouse, told: Soak, small: Path | None) -> None:
        self.house, self.told, self.small = house, told, small
        self.chance = random.Random(f"soak:{told.seed}")
        self.crowd = SteadyCrowd(house, told.seed)
        self.operator = Operator(house.console, Habits(acknowledge_after=(0.2, 1.0), act_after=(0.1, 0.5), calls_back=True), seed=told.seed)
        self.lives: list[Life] = []
        self.faults: Counter[str] = Counter()
        self.consoles = 0
        self._looking: set[asyncio.Task[None]] = set()

    async def run(self) -> str:
        """The whole of it; gives the line with the figures."""
        house, told = self.house, self.told
        self._begin()
        await house.lines_live()
        async with self.crowd.playing():
            parts = [self._sample(), self.operator.run(), self._look_in()]
            beside = [asyncio.create_task(part) for part in parts]
            loading = asyncio.create_task(self.crowd.live(told))
            try:
                await self._wrong(loading, beside)
                loading.cancel()
                await asyncio.gather(loading, return_exceptions=True)
                beside.pop().cancel()
                await house.ready()
                await house.lines_live()
                confirmed = await self._settle()
                files, threads = await self._flat()
                await self._books(confirmed)
            finally:
                for task in (loading, *beside, *self._looking):
                    task.cancel()
                await asyncio.gather(loading, *beside, *self._looking, return_exceptions=True)
        resident = [mib for life in self.lives for _, mib, _, _ in life.samples]
        quarters = [f"{resident[min(len(resident) - 1, len(resident) * part // 4)]:.0f}" for part in range(5)]
        assert await house.stop() == 0, house.tail()
        proof = house.run("journal", "verify")
        assert proof.returncode == 0, proof.stderr
        assert house.said("Traceback") == 0, house.tail()
        lives = "one life" if len(self.lives) == 1 else f"{len(self.lives)} lives"
        slopes = [slope for life in self.lives if (slope := life.slope_mib_h(told.warm_s if len(self.lives) == 1 else 30.0)) is not None]
        grows = ", ".join(f"{slope:+.1f}" for slope in slopes[-5:]) or "too short to say"
        return (
            f"{told.seconds:g} s, {lives}; {len(confirmed)} cries confirmed and written once each, {self.crowd.panel.confirmed} panel calls, "
            f"{len(self.crowd.pbx.calls)} calls, {self.operator.counts.closed} incidents closed, {self.consoles} consoles; "
            f"faults: {', '.join(f'{name} {count}' for name, count in sorted(self.faults.items()))}; "
            f"memory {' → '.join(quarters)} MiB by quarters, slope after {told.warm_s:.0f} s of warm-up {grows} MiB/h; "
            f"files {files[0]} → {files[1]}, threads {threads[0]} → {threads[1]}; {proof.stdout.strip().partition(';')[0]}"
        )

    def slope(self) -> float | None:
        """MiB an hour of the only life."""
        return self.lives[0].slope_mib_h(self.told.warm_s) if len(self.lives) == 1 else None

    # --- what goes wrong ---------------------------------------------------------------------------------------------

    async def _wrong(self, loading: "asyncio.Task[None]", beside: "list[asyncio.Task[None]]") -> None:
        faults = [self._broker, self._ports, self._garbage, self._consoles_break_off, self._reload]
        faults += [self._disk] if self.small is not None else []
        faults += [self._kill] if self.told.kills else []
        began = time.monotonic()
        number = 0
        while (passed := time.monotonic() - began) < self.told.seconds:
            ended = [task for task in (loading, *beside) if task.done()]
            assert not ended, f"somebody ended by themselves: {ended[0]}: {ended[0].exception()}"
            assert self.house.is_running, f"the gateway ended by itself: {self.house.tail()}"
            if passed >= (number + 1) * self.told.fault_every_s and self.told.seconds - passed > 5:
                fault = faults[number % len(faults)]
                number += 1
                await fault()
                self.faults[fault.__name__.strip("_")] += 1
            await asyncio.sleep(0.2)  # the time itself

    async def _broker(self) -> None:
        await self.house.broker.stop()
        await asyncio.sleep(self.chance.uniform(0.2, 3.0))
        await self.house.broker.start()

    async def _ports(self) -> None:
        self.house.panel.unplug()
        self.house.buttons.unplug()
        await asyncio.sleep(self.chance.uniform(0.2, 3.0))
        self.house.panel.plug()
        self.house.buttons.plug()

    async def _garbage(self) -> None:
        async with aiomqtt.Client(self.house.address.host, self.house.address.port) as client:
            for _ in range(GARBAGE):
                await self._piece(client)

    async def _piece(self, client: aiomqtt.Client) -> None:
        rubbish = self.chance.randbytes(self.chance.randint(1, 200))
        self.house.panel.write(rubbish)
        self.house.buttons.write(rubbish)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(b"HEP3" + rubbish, self.house.hep)
        await client.publish("wearables/" + "x" * self.chance.randint(1, 50) + "/event", rubbish, qos=1)
        host, _, port = self.house.console.removeprefix("http://").rpartition(":")
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 2) as raw:
            raw.sendall(rubbish)

    async def _consoles_break_off(self) -> None:
        url = f"{self.house.console.replace('http', 'ws')}/api/v1/feed?since=0&epoch="
        opened = await asyncio.gather(*(connect(url, max_size=None) for _ in range(AT_ONCE)), return_exceptions=True)
        for one in opened:
            if not isinstance(one, BaseException):
                self.consoles += 1
                one.transport.abort()  # as a plug pulled out

    async def _reload(self) -> None:
        self.house.hang_up()

    async def _disk(self) -> None:
        assert self.small is not None
        filler = self.small / "filler"
        await asyncio.to_thread(_fill, filler)
        await asyncio.sleep(FULL_S)
        filler.unlink()

    async def _kill(self) -> None:
        self.house.kill()
        self._begin()

    def _begin(self) -> None:
        self.house.start()
        self.lives.append(Life(time.monotonic()))

    # --- who looks on ------------------------------------------------------------------------------------------------

    async def _look_in(self) -> None:
        """Consoles come and go."""
        while True:
            await asyncio.sleep(1 / self.told.consoles_s)
            task = asyncio.create_task(self._console())
            self._looking.add(task)
            task.add_done_callback(self._looking.discard)

    async def _console(self) -> None:
        url = f"{self.house.console.replace('http', 'ws')}/api/v1/feed?since=0&epoch="
        with contextlib.suppress(Exception):  # the gateway may be dead
            async with connect(url, max_size=None) as feed, asyncio.timeout(self.chance.uniform(*CONSOLE_S)):
                self.consoles += 1
                async for _ in feed:
                    pass

    async def _sample(self) -> None:
        """soak.csv in the folder of the test has them all: what a slope comes from is seen there."""
        with (self.house.folder / "soak.csv").open("w", buffering=1) as table:
            table.write("life,seconds,resident_mib,files,threads,incidents_closed\n")
            while True:
                with contextlib.suppress(OSError, IndexError):
                    life = self.lives[-1]
                    assert self.house.process is not None
                    life.samples.append((time.monotonic() - life.began, *look(self.house.process.pid)))
                    at, mib, files, threads = life.samples[-1]
                    table.write(f"{len(self.lives)},{at:.0f},{mib:.1f},{files},{threads},{self.operator.counts.closed}\n")
                await asyncio.sleep(SAMPLE_S)

    # --- how it must be in the end -----------------------------------------------------------------------------------

    async def _settle(self) -> list[Message]:
        """All that was sent is taken, all calls have ended, nothing is in flight."""
        crowd = self.crowd
        await until(lambda: not crowd.unconfirmed and not crowd.going_on, "everything sent is taken", BACK_S)
        await self.house.sees(self._is_settled, "nothing is under way", BACK_S)
        return crowd.confirmed_cries

    async def _is_settled(self) -> bool:
        metrics = await self.house.metrics()
        return metrics.get("gateway_orders_pending") == 0 and not sum(value for key, value in metrics.items() if key.startswith("gateway_in_flight"))

    async def _flat(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Open files and threads of the last life: when it was warm, and now that all consoles are gone."""
        for task in self._looking:
            task.cancel()
        samples = self.lives[-1].samples
        warm = [row for row in samples if row[0] >= min(self.told.warm_s, samples[-1][0] / 2)]
        first = warm[: max(1, len(warm) // 4)]
        files, threads = (round(statistics.median(row[place] for row in first)) for place in (2, 3))  # a port that was pulled out just then has none
        assert self.house.process is not None
        pid = self.house.process.pid
        try:
            await until(lambda: look(pid)[1] <= files + FILES_MORE and look(pid)[2] <= threads + THREADS_MORE, "flat", BACK_S)
        except AssertionError:
            now = look(pid)
            raise AssertionError(f"files {files} → {now[1]}, threads {threads} → {now[2]}: {_opened(pid)}") from None
        _, files_now, threads_now = look(pid)
        return (files, files_now), (threads, threads_now)

    async def _books(self, confirmed: list[Message]) -> None:
        """Every confirmed cry stands in the journal once; no station was sent twice for one thing; the books balance."""
        events = [msgspec.json.decode(str(row["facts"])) for row in await asyncio.to_thread(self.house.journal) if row["kind"] == "sos"]
        written = Counter((event["device"], event["detail"].get("ts")) for event in events if event["line"] == "wearables")
        lost = [f"{one.device} {one.ts}" for one in confirmed if not written[one.device, one.ts]]
        assert lost == [], f"{len(lost)} of {len(confirmed)} lost: {lost[:5]}"
        assert [cry for cry, count in written.items() if count > 1] == []
        assert self._ordered_twice() == []
        assert await self.house.unbalanced() == {}

    def _ordered_twice(self) -> list[str]:
        """A station that was sent again, under another id, before it said that it was done with the first."""
        answered = self.crowd.stations.answered
        under: dict[tuple[str, str], str] = {}
        found = []
        for order in self.crowd.stations.orders:
            before = under.setdefault((order.incident, order.responder), order.delivery)
            if before != order.delivery:
                under[order.incident, order.responder] = order.delivery
                if all(word != "done" for word, _ in answered.get(before, ())):
                    found.append(f"{order.incident} at {order.responder}: {before}, then {order.delivery}")
        return found


def look(pid: int) -> tuple[float, int, int]:
    """Resident MiB, open files, threads."""
    status = Path(f"/proc/{pid}/status").read_text()
    return (
        int(status.partition("VmRSS:")[2].split()[0]) / 1024,
        sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()),
        int(status.partition("Threads:")[2].split()[0]),
    )


def _opened(pid: int) -> dict[str, int]:
    """What the open files are, by kind or name."""
    kinds: Counter[str] = Counter()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            kinds[str(link.readlink()).partition("[")[0]] += 1
    return dict(kinds)


def _fill(file: Path) -> None:
    """Takes all the room there is."""
    with file.open("wb", buffering=0) as out, contextlib.suppress(OSError):
        while True:
            out.write(bytes(65536))
    with file.open("ab", buffering=0) as out, contextlib.suppress(OSError):
        while True:
            out.write(bytes(512))


def _run(*command: str) -> bool:
    return subprocess.run(command, check=False).returncode == 0


@contextlib.asynccontextmanager
async def small_disk(folder: Path) -> AsyncIterator[Path | None]:
    """A file system of ROOM_MIB for the data, None where nobody may mount one."""
    data = folder / "small"
    data.mkdir()
    made = os.geteuid() == 0 and await asyncio.to_thread(_run, "mount", "-t", "tmpfs", "-o", f"size={ROOM_MIB}m", "tmpfs", str(data))
    try:
        yield data if made else None
    finally:
        if made:
            await asyncio.to_thread(_run, "umount", "-l", str(data))


async def soak(folder: Path, told: Soak) -> tuple[str, float | None]:
    """Play it; gives the line with the figures, and the slope of the memory of a life that nobody ended."""
    district = District(wearables=400, rooms=20, buttons=20, callers=20)
    async with small_disk(folder) as small, SoakHouse(folder, district, Setting(data="small")) as house:
        play = Play(house, told, small)
        return await play.run(), play.slope()
