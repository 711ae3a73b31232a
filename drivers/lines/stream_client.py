"""A line that dials the device and speaks a stream codec with it: `connect = "tcp:HOST:PORT"`, `"tls:HOST:PORT:caFile=…:serverName=…"`.

For panels and bridges that listen. One connection at a time; the supervisor dials again.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from drivers.contract import Codec, Emit, Report
from drivers.lines.conversing import ConversingLine
from drivers.lines.dialling import dial
from gateway.config import LineConfig
from gateway.errors import LineError


class Target(NamedTuple):
    """Whom to dial: `tcp:HOST:PORT` or `tls:HOST:PORT`; and how to know him, as `dialling.dial` has it."""

    address: str
    ca_file: str = ""
    server_name: str = ""


def parse_connect(connect: str) -> Target:
    """Read the endpoint string; a colon in an IPv6 address or a path is written `\\:`. Raises ValueError saying what is wrong."""
    word, host, port, *others = [*re.split(r"(?<!\\):", connect), "", ""]
    if word not in ("tcp", "tls") or not host or not (port.isascii() and port.isdigit() and 0 < int(port) <= 65_535):
        raise ValueError(f"{connect!r} is nobody to dial; write tcp:HOST:PORT or tls:HOST:PORT")
    given = {name: value.replace("\\:", ":") for name, _, value in (other.partition("=") for other in others if other)}
    for name in given:
        if word != "tls" or name not in ("caFile", "serverName"):
            raise ValueError(f"{name!r} is not known behind {word}:HOST:PORT; only tls: has words there: caFile, serverName")
    ca_file = given.get("caFile", "")
    if ca_file and not Path(ca_file).is_file():
        raise ValueError(f"caFile={ca_file}: there is no such file; write caFile=FILE (PEM)")
    return Target(f"{word}:{host}:{port}", ca_file, given.get("serverName", ""))


class StreamClientLine(ConversingLine):
    """One connection, one codec; a new codec for each connection, since half a message is worth nothing.

    counts: beside those of all conversing lines connections.
    """

    def __init__(self, config: LineConfig, new_codec: Callable[[], Codec]) -> None:
        super().__init__(config, new_codec)
        self._target = parse_connect(config.connect or "")

    async def run(self, emit: Emit, report: Report) -> None:
        """Until cancelled. Raises LineError when there is no connection to be had or it is lost; a codec's error as it is (our bug)."""
        self._begin(emit, report)
        try:
            connection = await dial(*self._target)
            self.counts["connections"] += 1
            conversation = self._converse(connection, self._take_held())
            conversation.begin()
            connection.begin(conversation.receive, conversation.end)
            report.live()
            reason = await self._hold(conversation)
        finally:
            await self._close()
        raise LineError(f"{self._target.address}: {reason}")
