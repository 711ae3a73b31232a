"""What the demo itself sees from outside: telephones on which people are told, and whether the city has every report. Each is an expectation."""

import asyncio
import contextlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.clock import utc_now
from gateway.core.duty import CHINA
from gateway.demo.setting import COMPANY, DOCTOR, NEIGHBOUR

AWAY_S = 3.0  # a report older than this without a receipt: the city is away
TRIES, PAUSE_S = 5, 1.0  # of comparing, while new reports are under way
PRESSED = frozenset({"open", "accept", "arrived"})  # what the neighbour must have been able to press on the page
NUMBER = re.compile(r"I\d{6,}")

Say = Callable[[str], None]


class Told:
    """Reads what `simulators.telephones` prints, and says it in words. incident: that about which the neighbour was asked; link: the reader's."""

    def __init__(self, words: Mapping[str, str], say: Say) -> None:
        self._words = words
        self._say = say
        self._seen: set[str] = set()  # of one evening: some ten texts
        self.family = 0
        self.doctor = 0
        self.pressed: set[str] = set()
        self._shown = ""  # the neighbour's link that is told of
        self.incident = ""
        self.link = ""

    @property
    def expectations(self) -> dict[str, bool]:
        """Word → did it come true?"""
        return {
            "family_told": self.family > 0,
            "doctor_told": self.doctor > 0,
            "page_answered": self.pressed >= PRESSED,
            "link_sent": bool(self.link),
        }

    async def follow(self, lines: asyncio.StreamReader) -> None:
        """Until the process ends."""
        async for line in lines:
            with contextlib.suppress(json.JSONDecodeError):
                self._take(json.loads(line))

    def _take(self, said: dict[str, Any]) -> None:
        to, words = said["to"], self._words
        if "pressed" in said:
            if said["link"] == self._shown:  # one is enough to be read
                self._say(f"  {words['neighbour']} · {words['pressed']}: {words.get('press.' + said['pressed'], said['pressed'])}")
                if said["status"] == 200:
                    self.pressed.add(said["pressed"])
            return
        text, link = said["text"], said["link"]
        if to == COMPANY and link:
            if link != self.link:
                self.link = link
                self._say(f"\n  {words['yours']}\n  {link}\n")
            return
        if to == NEIGHBOUR and link and not self.incident:
            found = NUMBER.search(text)
            self.incident, self._shown = found[0] if found else "", link
        self.family += to not in (COMPANY, NEIGHBOUR, DOCTOR)
        self.doctor += to == DOCTOR
        if to == NEIGHBOUR and link != self._shown:
            return
        who = {NEIGHBOUR: words["neighbour"], DOCTOR: words["doctor"], COMPANY: words["company"]}.get(to, words["family"])
        if f"{to} {text}" not in self._seen and len(self._seen) < 1000:
            self._seen.add(f"{to} {text}")
            self._say(f"  {who} · {words['told']}: {text}")


class City:
    """Notices from the gateway's metrics that the city has gone and is back, then compares the day with what it has."""

    def __init__(self, config: Path, words: Mapping[str, str], say: Say) -> None:
        self._config = config
        self._words = words
        self._say = say
        self._away = False
        self._comparing: asyncio.Task[None] | None = None
        self.was_away = False
        self.is_equal = False

    @property
    def expectations(self) -> dict[str, bool]:
        """Word → did it come true?"""
        return {"city_away": self.was_away, "city_equal": self.is_equal}

    def look(self, metrics: Mapping[str, float]) -> None:
        """Once a second."""
        waits, oldest = (metrics.get(f'gateway_upward_lag_{unit}{{to="city"}}', 0.0) for unit in ("entries", "seconds"))
        if not self._away and oldest > AWAY_S:
            self._away = self.was_away = True
            self._say(f"  {self._words['city']} · {self._words['away']}")
        elif self._away and not waits:
            self._away = False
            self._comparing = asyncio.create_task(self._compare())

    async def end(self) -> None:
        """A comparison that has begun is ended."""
        if self._comparing is not None:
            await self._comparing

    async def _compare(self) -> None:
        found: dict[str, Any] = {}
        began = time.monotonic()
        for _ in range(TRIES):
            day = datetime.astimezone(utc_now(), CHINA).date().isoformat()
            code, said = await command("upward", "reconcile", day, "city", "--config", str(self._config))
            with contextlib.suppress(json.JSONDecodeError):
                found = json.loads(said)
            if code == 0:
                self.is_equal = True
                break
            await asyncio.sleep(PAUSE_S)
        outcome = self._words["equal" if self.is_equal else "unequal"].format(found.get("sent", found.get("count", "?")))
        self._say(f"  {self._words['city']} · {self._words['back']}: {outcome} ({time.monotonic() - began:.1f} s)")


async def command(*arguments: str, environment: Mapping[str, str] | None = None) -> tuple[int, str]:
    """`gateway …`: exit code and what it printed. environment: beside that of this process."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway.cli",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, **(environment or {})},
    )
    try:
        told, _ = await process.communicate()
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        raise
    return process.returncode or 0, told.decode()
