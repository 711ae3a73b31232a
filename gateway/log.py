"""Logging: structlog for everybody, console or JSON; standard logging and Twisted flow through it; no personal data leaves.

Use `log = structlog.get_logger()` and `log.info("line_lost", line=name, reason=reason)`: the event is a lower_snake word, facts are keys.
Log the edge, not the level. Persons, incidents and devices are named by their ids; who that is stands in the register.
"""

import logging
import re
import sys
from collections.abc import Mapping
from typing import TextIO

import structlog
import twisted.logger
from structlog.typing import EventDict, WrappedLogger

from gateway.config import LogConfig

HIDDEN = "[hidden]"

# Keys whose values are personal or secret, or may hold either (bytes off the wire, bodies of orders, free text).
FORBIDDEN_KEYS = frozenset(
    "name person_name phone phones mobile address home caller caller_e164 called callee contact contacts birth born age identity id_number"
    " risks health note notes text raw body payload password secret token authorization cookie".split()
)

# The last net: what looks like a telephone or identity number inside any text. 7 digits (E.164 allows as few for a subscriber) to
# 18 (an identity number), with the usual separators. ASCII boundaries on purpose: a Chinese character may touch the number.
# Dates (2026-03-14) and decimal fractions are left alone.
NUMBER = re.compile(r"(?<![A-Za-z0-9_.\-])(?!\d{4}-\d\d-\d\d(?!\d))\+?\d(?:[ \-]?\d){5,16}[\dXx](?![A-Za-z0-9_])")


def mask_text(text: str) -> str:
    """The text with everything that looks like a telephone or identity number replaced."""
    return NUMBER.sub(HIDDEN, text)


def _masked(value: object) -> object:
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, int | float | None):
        return value
    if isinstance(value, Mapping):
        return {key: HIDDEN if key in FORBIDDEN_KEYS else _masked(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked(inner) for inner in value]
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} bytes]"
    return mask_text(str(value))


def hide_personal(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Structlog processor: forbidden keys are hidden, numbers inside texts are masked, bytes are only counted."""
    return {key: HIDDEN if key in FORBIDDEN_KEYS else _masked(value) for key, value in event.items()}


def configure(config: LogConfig, stream: TextIO | None = None) -> None:
    """Send everything to `stream` (default: standard error). May be called again: the last call holds."""
    out = sys.stderr if stream is None else stream
    level = logging.getLevelNamesMapping()[config.level.upper()]
    renderer: structlog.typing.Processor
    if config.format == "json":
        renderer = structlog.processors.JSONRenderer(ensure_ascii=False)
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,  # before the masking: an exception's text may quote what it choked on
            hide_personal,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        cache_logger_on_first_use=False,  # configure() may be called again, and nothing on the alarm path logs
    )
    root = logging.getLogger()
    root.handlers = [StandardHandler()]
    root.setLevel(max(level, logging.INFO))  # libraries' debug output quotes packets
    _join_twisted()


class StandardHandler(logging.Handler):
    """Hands records of the standard library's logging to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        """Never raises into the caller, as the standard handlers do not."""
        try:
            log = structlog.get_logger()
            log.log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info)
        except Exception:
            self.handleError(record)


_twisted_joined = False


def _join_twisted() -> None:
    global _twisted_joined
    if not _twisted_joined:  # Twisted's beginner can begin once in a process
        twisted.logger.globalLogBeginner.beginLoggingTo([log_twisted], discardBuffer=True, redirectStandardIO=False)  # type: ignore[list-item]  # a zope interface
        _twisted_joined = True


def log_twisted(event: twisted.logger.LogEvent) -> None:
    """Twisted observer: failures (errors in Deferreds, in protocols) and warnings; its chatter about factories is left out."""
    level = event.get("log_level", twisted.logger.LogLevel.info)
    if level < twisted.logger.LogLevel.warn:
        return
    failure = event.get("log_failure")
    structlog.get_logger().log(
        logging.WARNING if level is twisted.logger.LogLevel.warn else logging.ERROR,
        twisted.logger.formatEvent(event) or "twisted_failure",
        logger=event.get("log_namespace", "twisted"),
        exc_info=None if failure is None else (failure.type, failure.value, failure.getTracebackObject()),
    )
