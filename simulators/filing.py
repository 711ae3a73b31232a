"""What is done by a signed request or at a screen: a platform files a matter, a supervisor rules. As docs/guide/upward.md tells developers."""

import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

import httpx


def signed(secret: bytes, content: bytes) -> dict[str, str]:
    """The two headers of every request of a platform."""
    timestamp = str(int(time.time()))
    mark = hmac.new(secret, timestamp.encode() + b"." + content, hashlib.sha256).hexdigest()
    return {"X-Timestamp": timestamp, "X-Signature": f"sha256={mark}", "Content-Type": "application/json"}


async def file_matter(console: str, platform: str, secret: bytes, record: Mapping[str, Any]) -> tuple[str, str]:
    """(incident, why refused); one of them is "". A platform that nobody answers is told "unreachable"."""
    body = json.dumps(record).encode()
    try:
        async with httpx.AsyncClient(base_url=console, trust_env=False, timeout=10) as client:
            answer = await client.post(f"/api/v1/platforms/{platform}/incidents", content=body, headers=signed(secret, body))
        told = answer.json()
    except (httpx.HTTPError, ValueError):
        return "", "unreachable"
    return str(told.get("incident") or ""), "" if answer.status_code in (200, 201) else str(told.get("reason", answer.status_code))


def said(what: str, text: str) -> dict[str, object]:
    """The body of what the desk says about an incident."""
    bodies: dict[str, dict[str, object]] = {
        "complain": {"note": text},
        "call_back": {"satisfaction": 5},
        "waive": {"reason": text},
        "resolve": {"outcome": "helped", "note": text},
    }
    return bodies.get(what, {})


def ruling_of(matter: str, subject: str, value: str, reason: str) -> tuple[str, dict[str, object]]:
    """(path, body) of what a supervisor rules."""
    if matter in ("lost", "saturated", "aid", "guest"):
        return f"/api/v1/aid/{matter}/{subject}", {"value": value, "reason": reason}
    field = {"state": "state", "block": "why"}.get(matter)
    return f"/api/v1/providers/{subject}/{matter}", {**({field: value} if field else {}), "reason": reason}
