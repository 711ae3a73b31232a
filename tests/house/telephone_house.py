"""A whole gateway with all telephone lines at once: home units over UDP and TCP, one exchange by AMI, one by event socket, one mirrored.

The exchanges and the units live in the test's process: they go on while the gateway is dead.
"""

import contextlib
import json
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from house import District, House, Setting
from waiting import free_port

from simulators.home_link import Receiver
from simulators.home_unit import HomeUnit
from simulators.pbx import AMI_SECRET, AMI_USER, ESL_PASSWORD

T1_S = 0.1  # a fifth of the standard's: tests need not wait as long as a wire in the country
ANSWER_S = 2.0  # a unit's patience for `<mrs>`


class TelephoneHouse(House):
    """ami, esl: ports of exchanges that run already, None: no such line; tls: another port for units.

    units: more options of the line of home units; more: whole sections of the configuration.
    """

    def __init__(
        self,
        folder: Path,
        *,
        district: District | None = None,
        setting: Setting | None = None,
        ami: int | None = None,
        esl: int | None = None,
        tls: int | None = None,
        units: str = "",
        more: str = "",
    ) -> None:
        super().__init__(folder, district or District(units=50), setting)
        self.sip = free_port()
        self.ami, self.esl, self.tls, self.units, self.more = ami, esl, tls, units, more

    @property
    def lines(self) -> tuple[str, ...]:
        return ("home-units", "pbx", *(("asterisk",) if self.ami else ()), *(("freeswitch",) if self.esl else ()))

    def write_config(self) -> None:
        super().write_config()
        (self.folder / "ami.secret").write_text(AMI_SECRET)
        (self.folder / "esl.password").write_text(ESL_PASSWORD)
        also = [f"tcp:{self.sip}:interface=127.0.0.1", *([f"ssl:{self.tls}:interface=127.0.0.1"] if self.tls else [])]
        parts = [
            self.config.read_text(),
            self._line("home-units", "sip", f'listen = "udp:{self.sip}:interface=127.0.0.1"'),
            f'[line.options]\nalso = {json.dumps(also)}\nbodies = ["scaip"]\n{self.units}',
        ]
        if self.ami:
            parts += [self._line("asterisk", "ami", f'connect = "tcp:127.0.0.1:{self.ami}"')]
            parts += [f'[line.options]\nusername = "{AMI_USER}"\nsecret_file = "ami.secret"']
        if self.esl:
            parts += [self._line("freeswitch", "esl", f'connect = "tcp:127.0.0.1:{self.esl}"'), '[line.options]\npassword_file = "esl.password"']
        self.config.write_text("\n".join([*parts, self.more]))

    def receiver(self, transport: str = "udp") -> Receiver:
        """Where home units send."""
        return Receiver("127.0.0.1", self.sip, transport)

    def unit(self, number: int, receivers: Sequence[Receiver] = (), **how: Any) -> HomeUnit:
        """One of the district's units, quick in its repetitions."""
        return HomeUnit(self.district.unit(number), list(receivers) or [self.receiver()], **{"t1_s": T1_S, "answer_s": ANSWER_S, **how})

    def events(self, *kinds: str) -> list[dict[str, Any]]:
        """What is in the journal of these kinds: the event, and beside it the entry's kind, line and incident."""
        rows = [row for row in self.journal() if row["kind"] in kinds]
        return [{**msgspec.json.decode(str(row["facts"])), **{key: row[key] for key in ("kind", "line", "incident", "seq")}} for row in rows]

    def alarms(self) -> dict[tuple[str, str], list[dict[str, Any]]]:
        """Alarms of home units as journalled, by (cid, ref)."""
        found: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        for event in self.events("sos"):
            if event["line"] == "home-units":
                found[event["detail"]["cid"], event["detail"]["ref"]].append(event)
        return dict(found)

    def stories(self, line: str) -> dict[str, list[dict[str, Any]]]:
        """The calls of a line: what the exchange calls each, and its events in order."""
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for event in self.events(
            *(f"call_{step}" for step in ("offered", "ringing", "answered", "transferred", "ended", "abandoned", "missed", "failed"))
        ):
            if event["line"] == line and (detail := event.get("detail")) is not None:
                found[detail.get("exchange_call") or detail["call_id"]].append(event)
        return dict(found)

    def memory_mib(self) -> float:
        """Resident memory of the gateway (proc(5))."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def cpu_s(self) -> float:
        """Processor time of the gateway so far, seconds (proc(5), fields 14 and 15)."""
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.asynccontextmanager
async def started(house: House, *lines: str) -> AsyncIterator[None]:
    """The house, ready. At the end the books balance, it stops as asked and its journal is whole."""
    async with house:
        house.start()
        await house.ready()
        await house.lines_live(*lines)
        yield
        assert await house.unbalanced() == {}
        if house.is_running:
            assert await house.stop() == 0, house.tail()
        proof = house.run("journal", "verify")
        assert proof.returncode == 0, proof.stderr
