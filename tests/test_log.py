"""Logging: no personal data leaves, whichever road a message takes; every line is one line of JSON when asked."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog
import twisted.logger

from gateway.config import LogConfig
from gateway.log import HIDDEN, configure, log_twisted, mask_text


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """A configured log, written as JSON into memory; what stood before comes back."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    stream = io.StringIO()
    configure(LogConfig(format="json", level="info"), stream)
    yield stream
    structlog.reset_defaults()
    root.handlers, root.level = handlers, level


def read(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_one_json_object_a_line(lines: io.StringIO) -> None:
    log = structlog.get_logger()
    log.info("line_lost", line="corridor-panel", reason="unplugged", silent_s=31.5)
    log.debug("not_shown")
    (entry,) = read(lines)
    at = entry.pop("at")
    assert isinstance(at, str)
    assert at.endswith("Z")
    assert entry == {"event": "line_lost", "level": "info", "line": "corridor-panel", "reason": "unplugged", "silent_s": 31.5}


def test_forbidden_keys_are_hidden_at_any_depth(lines: io.StringIO) -> None:
    structlog.get_logger().info("order", person={"id": "p-17", "name": "王秀英", "address": "和平路 3 号"}, caller="x", raw=b"\x02abc", frame=b"abc")
    (entry,) = read(lines)
    assert entry["person"] == {"id": "p-17", "name": HIDDEN, "address": HIDDEN}
    assert (entry["caller"], entry["raw"], entry["frame"]) == (HIDDEN, HIDDEN, "[3 bytes]")


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("电话13800138000来电", f"电话{HIDDEN}来电"),
        ("sip:+8613800138000@10.0.0.5", f"sip:{HIDDEN}@10.0.0.5"),
        ("call 138-0013-8000 back", f"call {HIDDEN} back"),
        ("call +86 138 0013 8000 back", f"call {HIDDEN} back"),
        ("home 0371-67890123", f"home {HIDDEN}"),
        ("id 11010519491231002X", f"id {HIDDEN}"),
        ("local 6212345", f"local {HIDDEN}"),
        ("from b'13800138000'", f"from b'{HIDDEN}'"),
        # not numbers of persons
        ("at 2026-03-14 09:26:53.589793", "at 2026-03-14 09:26:53.589793"),
        ("took 0.123456789 s", "took 0.123456789 s"),
        ("delivery 0195918f2f4b7cc0b0a4d5e6f7a8b9c0", "delivery 0195918f2f4b7cc0b0a4d5e6f7a8b9c0"),
        ("127.0.0.1:12349 and w-000123", "127.0.0.1:12349 and w-000123"),
        ("hotline 12349, 120", "hotline 12349, 120"),
    ],
)
def test_the_last_net(text: str, masked: str) -> None:
    assert mask_text(text) == masked


def test_exceptions_keep_their_traceback_and_lose_the_number(lines: io.StringIO) -> None:
    try:
        raise ValueError("cannot parse 13800138000")
    except ValueError:
        structlog.get_logger().exception("line_fault", line="calls")
    (entry,) = read(lines)
    assert "ValueError: cannot parse [hidden]" in str(entry["exception"])
    assert "13800138000" not in lines.getvalue()


def test_standard_logging_flows_through(lines: io.StringIO) -> None:
    logging.getLogger("uvicorn.error").warning("from %s", "13800138000")
    logging.getLogger("paho").debug("a packet")
    (entry,) = read(lines)
    assert (entry["event"], entry["level"], entry["logger"]) == (f"from {HIDDEN}", "warning", "uvicorn.error")


def test_twisted_failures_flow_through_and_its_chatter_does_not(lines: io.StringIO) -> None:
    twisted_log = twisted.logger.Logger(namespace="a.protocol", observer=log_twisted)
    twisted_log.info("Starting factory")
    try:
        raise RuntimeError("in a protocol")
    except RuntimeError:
        twisted_log.failure("Unhandled error")
    (entry,) = read(lines)
    assert (entry["event"], entry["level"], entry["logger"]) == ("Unhandled error", "error", "a.protocol")
    assert "RuntimeError: in a protocol" in str(entry["exception"])


def test_console_form_is_readable(lines: io.StringIO) -> None:
    stream = io.StringIO()
    configure(LogConfig(), stream)
    structlog.get_logger().warning("line_lost", line="calls")
    assert "line_lost" in stream.getvalue()
    assert "line=calls" in stream.getvalue()
    assert not lines.getvalue()
