"""Finding the recording of a call among the exchange's files. Nothing here comes from a browser: only what exchange and configuration say."""

import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from glob import escape
from pathlib import Path
from urllib.parse import quote

import msgspec

from gateway.config.recordings import AUDIO, RecordingsConfig
from gateway.console.seam import JournalRow
from gateway.core.routing import CHINA
from gateway.event import KINDS, Group

CALLS_AT_MOST = 20  # of one incident; a caller who rings twenty times has been heard
FILES_AT_MOST = 1000  # of a day that a pattern with * may match before we stop looking
PLAIN = re.compile(r"[A-Za-z0-9@._:+=~-]{1,200}")  # of a call's name: a Call-ID (RFC 3261, 25.1: word) without what means something in a path
TELEPHONE = frozenset(kind.value for kind, facts in KINDS.items() if facts.group is Group.TELEPHONE)


class RecordedCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call of an incident, as far as a recording of it is looked for. file: as the exchange named it; at: when it began here."""

    key: str
    at: datetime
    until: datetime
    answered: bool = False
    call_id: str = ""
    exchange_call: str = ""
    hotline: str = ""
    agent: str = ""
    agent_name: str = ""
    file: str = ""


def calls_of(rows: Iterable[JournalRow]) -> list[RecordedCall]:
    """The calls that an incident's journal tells of, in order."""
    found: dict[str, RecordedCall] = {}
    for row in rows:
        detail = row.facts.get("detail")
        if row.kind not in TELEPHONE or not isinstance(detail, Mapping) or not isinstance(detail.get("call"), str):
            continue
        key = str(detail["call"])
        if key not in found and len(found) >= CALLS_AT_MOST:
            continue
        before = found.get(key) or RecordedCall(key=key, at=row.at, until=row.at)
        told = {name: str(detail[field]) for name, field in _FIELDS if detail.get(field)}
        found[key] = msgspec.structs.replace(before, until=row.at, answered=before.answered or row.kind == "call_answered", **told)
    return list(found.values())


_FIELDS = (
    ("call_id", "call_id"),
    ("exchange_call", "exchange_call"),
    ("hotline", "hotline"),
    ("agent", "agent"),
    ("agent_name", "agent_name"),
    ("file", "recording"),
)


def is_expired(config: RecordingsConfig, call: RecordedCall, incident_days: int, now: datetime) -> bool:
    """Is it kept no longer, as far as we are concerned?"""
    return now - call.at > timedelta(days=config.days or incident_days)


def file_of(config: RecordingsConfig, base: Path, call: RecordedCall) -> Path | None:
    """The file of a call, if there is one. Blocks: the folder may be on a network.

    What the exchange named is taken when it lies in the folder; else what the pattern finds. Never anything outside of the folder, not by a
    link either; never a name with what means something in a path.
    """
    if not config.folder:
        return None
    folder = (base / config.folder).resolve()
    for wanted in _candidates(config, folder, call):
        try:
            file = wanted.resolve(strict=True)
            info = file.stat()
        except (OSError, ValueError, RuntimeError):
            continue
        if file.is_relative_to(folder) and stat.S_ISREG(info.st_mode) and info.st_size > 0 and file.suffix.lower() in AUDIO:
            return file
    return None


def _candidates(config: RecordingsConfig, folder: Path, call: RecordedCall) -> Iterator[Path]:
    if call.file and "\x00" not in call.file:
        named = Path(call.file)
        yield named if named.is_absolute() else folder / named
        yield folder / named.name  # mounted somewhere else here than there
    words = words_of(call)
    pattern = _filled(config.pattern, {name: escape(word) for name, word in words.items()})
    if pattern is None:
        return
    try:
        for count, file in enumerate(folder.glob(pattern)):
            if count >= FILES_AT_MOST:
                return
            yield file
    except (OSError, ValueError, NotImplementedError):
        return


def url_of(config: RecordingsConfig, call: RecordedCall) -> str | None:
    """Where the recording of a call would be fetched; None when the call has not the name that is asked for."""
    return _filled(config.url, {name: quote(word, safe="") for name, word in words_of(call).items()}) if config.url else None


def words_of(call: RecordedCall) -> dict[str, str]:
    """What a pattern may name. A name with a slash or the like in it is none: it is somebody's attempt."""
    local = call.at.astimezone(CHINA)
    words = {"call": call.key, "call_id": call.call_id, "exchange_call": call.exchange_call, "hotline": call.hotline}
    plain = {name: word for name, word in words.items() if PLAIN.fullmatch(word) and word.strip(".")}
    return plain | {"year": f"{local:%Y}", "month": f"{local:%m}", "day": f"{local:%d}"}


def _filled(pattern: str, words: Mapping[str, str]) -> str | None:
    try:
        return pattern.format_map(words)
    except KeyError:
        return None
