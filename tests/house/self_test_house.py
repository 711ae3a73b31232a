"""A gateway with lines of every sort, each tested from outside every second; its cables are pairs of pseudo-terminals."""

import asyncio
import contextlib
import os
import socket
import tty
from pathlib import Path
from typing import Any

from house import District, House, Setting
from waiting import free_port

OFTEN = "every_s = 1.0\nwithin_s = 1.0\n"  # two that come late are an incident: a machine that does five things at once is given time
LISTENING = {
    "receiver": ("surgard", "tcp"),
    "dialler": ("sia_dc09", "udp"),
    "adapter": ("contact_id", "tcp"),
    "nurse-call": ("espa444", "tcp"),
    "watches": ("watch3g", "tcp"),
    "pendants": ("gt06", "tcp"),
    "terminals": ("jt808", "tcp"),
    "texts": ("sip", "udp"),
}


class Cable:
    """Two serial ports wired to one another: what is written to `near` is read at `far`, and the other way round."""

    def __init__(self, folder: Path) -> None:
        self._ends = [os.openpty() for _ in range(2)]
        for master, slave in self._ends:
            tty.setraw(slave)
            os.set_blocking(master, False)
        self.near, self.far = (os.ttyname(slave) for _, slave in self._ends)
        loop = asyncio.get_running_loop()
        (one, _), (other, _) = self._ends
        loop.add_reader(one, self._carry, one, other)
        loop.add_reader(other, self._carry, other, one)
        del folder

    @staticmethod
    def _carry(source: int, target: int) -> None:
        with contextlib.suppress(OSError):
            os.write(target, os.read(source, 4096))

    def cut(self) -> None:
        """No byte passes any more; the ports stay open."""
        for master, _ in self._ends:
            asyncio.get_running_loop().remove_reader(master)

    def close(self) -> None:
        self.cut()
        for end in self._ends:
            for number in end:
                os.close(number)


class TestedHouse(House):
    """`lines`: which of LISTENING; more: further text of the configuration, after everything else."""

    __test__ = False

    def __init__(self, folder: Path, *, lines: tuple[str, ...] = (), more: str = "", self_test: str = OFTEN, topics: str = "") -> None:
        self.ports = {name: free_port(socket.SOCK_DGRAM if LISTENING[name][1] == "udp" else socket.SOCK_STREAM) for name in lines}
        self.more = more
        self.topics = topics
        super().__init__(folder, District(2, 2, 2, 2), Setting(self_test=self_test, mandatory=()))

    def write_config(self) -> None:
        super().write_config()
        text = self.config.read_text()
        if self.topics:
            text = text.replace('codec = "generic"\n', f'codec = "generic"\noptions = {{ topics = ["{self.topics}"] }}\n')
        for name, port in self.ports.items():
            codec, way = LISTENING[name]
            text += f'[[line]]\nname = "{name}"\ncodec = "{codec}"\nlisten = "{way}:{port}:interface=127.0.0.1"\n'
        self.config.write_text(f'{text}{self.more}[heartbeat]\nfile = "alive"\ninterval_s = 0.2\n')

    async def points(self) -> dict[str, dict[str, Any]]:
        """The rows of /api/v1/self-test by name; {} while nobody answers."""
        answer = await self.get("/api/v1/self-test")
        found = answer.json()["self_test"] if answer is not None and answer.status_code == 200 else None
        return {row["name"]: row for row in found["points"]} if found else {}

    async def comes_to(self, name: str, state: str, missing: str | None = None) -> dict[str, Any]:
        """Wait until a point is in this state; gives its row."""

        seen: dict[str, Any] = {}

        async def there() -> bool:
            seen.clear()
            seen.update((await self.points()).get(name, {}))
            return bool(seen) and seen["state"] == state and missing in (None, seen["missing"])

        await self.sees(there, f"{name} is {state} {missing or ''}")
        return seen

    async def incidents(self) -> list[dict[str, Any]]:
        """All rows of the console."""
        answer = await self.get("/api/v1/changes", since=0, epoch="")
        return [item for item in answer.json()["items"] if item["type"] == "incident"] if answer is not None else []
