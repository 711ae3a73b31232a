"""The OpenAPI document, small and kept by hand; a test compares it with the routes and with the fields of the commands."""

from gateway.console.commands import FIELDS, REVEAL_REASONS, WORDS
from gateway.console.views import Json
from gateway.core.hand_over import MatterRecord
from gateway.core.orders import ANSWERS
from gateway.metrics import own_version

_TYPES = {str: "string", int: "integer", bool: "boolean"}
_OWN_PAGE: list[Json] = [{"session": [], "csrf": []}]


def _answers(*statuses: int) -> Json:
    words = {
        200: "done",
        202: "journalled and under way",
        400: "bad request",
        401: "not signed",
        403: "csrf, origin, not_on_duty or not_owner",
        404: "unknown",
        409: "refused",
        429: "dial_limit: too many of ours; retry_s says when to try again",
        503: "not now",
    }
    return {str(status): {"description": words[status]} for status in statuses}


def _get(summary: str, *statuses: int, parameters: tuple[str, ...] = ()) -> Json:
    query = [{"name": name, "in": "query", "schema": {"type": "string" if name == "epoch" else "integer"}} for name in parameters]
    return {"get": {"summary": summary, "parameters": query, "responses": _answers(200, *statuses)}}


def _post(summary: str, properties: Json, required: list[str], *statuses: int, security: list[Json] | None = None) -> Json:
    schema: Json = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        schema["required"] = required
    content = {"content": {"application/json": {"schema": schema}}}
    return {
        "post": {
            "summary": summary,
            "security": _OWN_PAGE if security is None else security,
            "requestBody": content,
            "responses": _answers(*statuses),
        }
    }


def document() -> Json:
    """The whole document."""
    text = {"type": "string"}
    paths: Json = {
        "/metrics": _get("Prometheus metrics"),
        "/healthz": _get("ok while the house lives"),
        "/readyz": _get("ready to take alarms, or why not", 503),
        "/api/v1/openapi.json": _get("this document"),
        "/api/v1/session": _get("who I am; sets the session cookie and tells the CSRF token"),
        "/api/v1/duty": _post(
            "come on duty under a name, or leave (null)",
            {"name": {"type": ["string", "null"]}, "extension": {"type": ["string", "null"]}},
            [],
            200,
            400,
            403,
        ),
        "/api/v1/changes": _get("changes since a number, or a snapshot (reset)", 400, 503, parameters=("since", "epoch", "wait")),
        "/api/v1/lines": _get("the lines and their states"),
        "/api/v1/incidents/{id}": _get("one incident with timeline, legs, reasons and plan", 404, 503),
        "/api/v1/call-backs": _get("who waits to be called back, urgent first, then who tried first"),
        "/api/v1/hand-overs": _post(
            "a matter from another hotline; X-Signature: sha256=<HMAC-SHA-256 of the body>; the record is in docs/guide/hotlines.md",
            {name: {} for name in MatterRecord.__struct_encode_fields__},
            ["eidoMessageIdentifier", "lastUpdateTimeStamp", "incidentComponent"],
            *(200, 400, 401, 409, 503),
            security=[],
        ),
        "/api/v1/replies": _post(
            "answer of a web station; X-Signature: sha256=<HMAC-SHA-256 of the body>",
            {"delivery": text, "answer": {"enum": sorted(ANSWERS)}, "by": text, "note": text},
            ["delivery", "answer"],
            *(200, 400, 401, 404, 409, 503),
            security=[],
        ),
    }
    paths["/api/v1/incidents/{id}/reveal"] = _post(
        "full telephone numbers for the owner of the open incident; journalled first",
        {"reason": {"enum": REVEAL_REASONS}},
        ["reason"],
        200,
        400,
        403,
        404,
        503,
    )
    paths["/api/v1/incidents/{id}/dial"] = _post(
        "ring somebody about it, by reference; answered when it is journalled, the outcome is a change of the incident",
        {"contact": {"type": "string", "description": "person, person:1, caller, device, contact:0, responder:<id>"}, "extension": text},
        ["contact"],
        *(202, 400, 403, 404, 409, 429, 503),
    )
    paths["/api/v1/calls/{key}/hang_up"] = _post(
        "end a call of one's own, or what one has dialled (key: its id)", {}, [], 200, 400, 403, 404, 409, 503
    )
    paths["/api/v1/calls/{key}/transfer"] = _post(
        "send the caller on to an extension of calls.agents", {"to": text}, ["to"], *(200, 400, 403, 404, 409, 503)
    )
    for action, fields in FIELDS.items():
        properties: Json = {name: {"enum": WORDS[name]} if name in WORDS else {"type": _TYPES[kind]} for name, (kind, _) in fields.items()}
        required = [name for name, (_, must) in fields.items() if must]
        expected = {"state": text, "version": {"type": "integer"}}
        paths[f"/api/v1/incidents/{{id}}/{action}"] = _post(f"{action}", properties | expected, required, 200, 400, 403, 404, 409, 503)
    return {
        "openapi": "3.1.0",
        "info": {"title": "12349 gateway", "version": own_version()},
        "paths": paths,
        "components": {
            "securitySchemes": {
                "session": {"type": "apiKey", "in": "cookie", "name": "session"},
                "csrf": {"type": "apiKey", "in": "header", "name": "X-CSRF"},
            }
        },
    }
