"""`[recordings]`: where the exchange keeps the recordings of calls. They are its own: the gateway plays them, and never writes or erases one."""

import re
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from gateway.toml_file import Fault, TomlReader

# What a pattern may name: the call as we key it, its SIP Call-ID, the exchange's own name of it (Linkedid, Unique-ID), its hotline, local date.
PLACES = frozenset(("call", "call_id", "exchange_call", "hotline", "year", "month", "day"))
AUDIO = {".wav": "audio/wav", ".mp3": "audio/mpeg", ".ogg": "audio/ogg", ".opus": "audio/ogg", ".m4a": "audio/mp4", ".webm": "audio/webm"}
PLAIN = re.compile(r"[^\x00-\x1f\\]{1,300}")


class RecordingsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[recordings]`. Either a folder, or a URL that the gateway (never a browser) fetches; neither: there are none.

    folder      where this machine sees the files; with them a file that the exchange named itself is played, too
    pattern     of a call's file in it: {call} {call_id} {exchange_call} {hotline} {year} {month} {day}, and * for what one does not know
    url         of a call's recording, with the same words
    token_file  its first line is sent with a request to `url`, as Authorization: Bearer
    days        older ones count as expired, whatever the exchange still has; 0: as long as [retention] incident_days
    """

    folder: str = ""
    pattern: str = "*{exchange_call}*.wav"
    url: str = ""
    token_file: str = ""
    days: Annotated[int, msgspec.Meta(ge=0, le=36_500)] = 0
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = 10

    @property
    def is_on(self) -> bool:
        """May there be recordings at all?"""
        return bool(self.folder or self.url)


def recordings_faults(config: RecordingsConfig) -> Iterator[Fault]:
    """What is wrong with one that has the right types."""
    if config.folder and config.url:
        yield ("url",), "is written beside a folder", "write one of them"
    for name, text in (("pattern", config.pattern), ("url", config.url)):
        yield from _of_pattern(name, text)
    if config.folder and (config.pattern.startswith("/") or ".." in config.pattern.split("/") or Path(config.pattern).suffix.lower() not in AUDIO):
        yield (
            ("pattern",),
            f"{config.pattern!r} is no file in the folder that a browser plays",
            f"end it with one of {' '.join(AUDIO)}, without .. or / in front",
        )
    if config.url and (
        urlsplit(config.url).scheme not in ("http", "https") or not urlsplit(config.url).hostname or "{" in urlsplit(config.url).netloc
    ):
        yield ("url",), f"{config.url!r} is no address of a server", "write http:// or https://, the host, and then the path with {exchange_call}"
    if config.token_file and not config.url:
        yield ("token_file",), "is of no use without a url", "leave it out"


def _of_pattern(name: str, text: str) -> Iterator[Fault]:
    try:
        places = [place for _, place, form, change in string.Formatter().parse(text) if place is not None]
    except ValueError:
        yield (name,), f"{text!r} has a brace that is never closed", "write {exchange_call}"
        return
    unknown = sorted(set(places) - PLACES)
    if unknown:
        yield (name,), f"{{{unknown[0]}}} says nothing of a call", f"write one of {' '.join(sorted(PLACES))}"
    if text and not PLAIN.fullmatch(text):
        yield (name,), "has characters that no file name has", "write printable ones, and no backslash"
    if text and not {"call", "call_id", "exchange_call"} & set(places):
        yield (name,), f"{text!r} is the same for every call", "name the call in it: {exchange_call}, {call_id} or {call}"


def check_recordings(config: RecordingsConfig, folder: Path, reader: TomlReader) -> None:
    """The files that it names must be there."""
    if config.folder and not (folder / config.folder).is_dir():
        reader.add("recordings.folder", f"there is no folder {config.folder}", "correct it, or mount what the exchange records")
    if config.token_file and not (folder / config.token_file).is_file():
        reader.add("recordings.token_file", f"there is no file {config.token_file}", "write the token into it, readable by the gateway alone")
