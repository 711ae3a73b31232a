"""Hosts that lines believe, kept through restarts: else a sound panel that shares its address with a badly set one could be refused after one."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import structlog

from drivers.contract import Believer
from gateway.clock import utc_now

log = structlog.get_logger("believed")

FILE = "believed.json"  # in the data folder: {line: {host: when something sound came last, seconds since 1970}}
EVERY_S = 60.0  # what a kill costs of a day: nothing that matters


class Believed:
    """`given` hands a line what it believed before; `run` keeps what the lines believe."""

    def __init__(self, folder: Path, lines: Mapping[str, object]) -> None:
        self._file = folder / FILE
        self._lines = lines
        self._before: dict[str, dict[str, float]] = {}
        self._kept: dict[str, dict[str, float]] = {}

    def load(self) -> None:
        """Before the lines are built. What cannot be read is nothing: everybody begins anew."""
        try:
            self._before = msgspec.json.decode(self._file.read_bytes(), type=dict[str, dict[str, float]])
        except FileNotFoundError:
            pass
        except (OSError, msgspec.MsgspecError) as error:
            log.warning("believed hosts cannot be read", file=str(self._file), reason=str(error))

    def given(self, name: str, line: object) -> None:
        """To a line that has just been built."""
        if isinstance(line, Believer) and name in self._before:
            now = utc_now().timestamp()
            line.believe({host: max(0.0, now - at) for host, at in self._before[name].items()})

    async def run(self, sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep) -> None:
        """Until cancelled; once more then."""
        try:
            while True:
                await sleep(EVERY_S)
                await asyncio.to_thread(self._keep, self._now())
        finally:
            self._keep(self._now())

    def _now(self) -> dict[str, dict[str, float]]:
        now = utc_now().timestamp()
        said = {name: line.believed() for name, line in self._lines.items() if isinstance(line, Believer)}
        return {name: {host: round(now - ago_s) for host, ago_s in hosts.items()} for name, hosts in said.items() if hosts}

    def _keep(self, found: dict[str, dict[str, float]]) -> None:
        if found == self._kept:
            return
        new = self._file.with_name(f"{FILE}.new")
        try:
            new.write_bytes(msgspec.json.encode(found))
            new.replace(self._file)
            self._kept = found
        except OSError as error:
            log.warning("believed hosts cannot be kept", file=str(self._file), reason=error.strerror)
