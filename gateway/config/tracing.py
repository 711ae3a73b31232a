"""`[tracing]`: where an alarm's way through the house is told to, step by step (OpenTelemetry); off unless an endpoint is named."""

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from gateway.toml_file import Checks, Fault, TomlReader


class TracingConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[tracing]`; needs the extra `tracing`.

    endpoint    of a collector, OTLP over HTTP with protobuf: http://127.0.0.1:4318/v1/traces; "" = off
    share       so large a share (0 to 1) of the incidents is told; the same ones at every step and after a restart
    token_file  its first line goes along as Authorization: Bearer; ca_file: whom to trust, "" = the system's list
    timeout_s   for one attempt; a collector that is away loses traces, nothing else
    """

    endpoint: str = ""
    share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
    token_file: str = ""
    ca_file: str = ""
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = 5


def tracing_faults(tracing: TracingConfig) -> Iterator[Fault]:
    """What must hold beyond the types."""
    if not tracing.endpoint:
        return
    try:
        url = urlsplit(tracing.endpoint)
        usable = url.scheme in ("http", "https") and bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        usable = False
    if not usable:
        yield ("endpoint",), "is no web address", "write http://HOST:4318/v1/traces"


def is_installed() -> bool:
    """Is the extra `tracing` there?"""
    try:
        return find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:
        return False


def check_tracing(config: TracingConfig, folder: Path, reader: TomlReader) -> None:
    """What it needs must be there."""
    if config.endpoint and not is_installed():
        reader.add("tracing.endpoint", "the packages are missing", "install the extra `tracing`, or leave it empty")
    for key in ("token_file", "ca_file"):
        name = getattr(config, key)
        if name and not os.path.isfile(folder / name):  # noqa: PTH113 - Path.is_file raises on a name that is too long
            reader.add(f"tracing.{key}", f"there is no file {name}", "write it, or correct the path")


CHECKS: Checks = {TracingConfig: tracing_faults}
