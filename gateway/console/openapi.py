"""The OpenAPI document, small and kept by hand; a test compares it with the routes and with the fields of the commands."""

import re
from typing import Any

from gateway.console.access_routes import TEXT_LIMIT
from gateway.console.commands import FIELDS, REVEAL_REASONS, WORDS
from gateway.console.desk_openapi import desk_paths
from gateway.console.device_views import STATES
from gateway.console.export_routes import SCOPES
from gateway.console.history_routes import WORDS as SEARCHED
from gateway.console.provider_routes import DECISIONS, PAGE, RULINGS
from gateway.console.provider_routes import STATES as STATES_OF_PROVIDERS
from gateway.console.register_openapi import register_paths
from gateway.console.request_views import STATES as ASKED
from gateway.console.views import Json
from gateway.core.absence import BY
from gateway.core.account import ASSIGNABLE
from gateway.core.hand_over import MatterRecord
from gateway.core.orders import ANSWERS
from gateway.core.platforms import Filing
from gateway.core.territory import ProviderState
from gateway.metrics import own_version

PLACES = re.compile(r"\{(\w+)(?::path)?\}")
GUARDED = (401, 403, 404, 413, 423)  # what every route may say before it is asked (gateway.console.guard), and of a path or body that is none
_TYPES = {str: "string", int: "integer", bool: "boolean"}
_OWN_PAGE: list[Json] = [{"session": [], "csrf": []}]


def _answers(*statuses: int) -> Json:
    words = {
        200: "done",
        201: "stored",
        202: "journalled and under way",
        204: "nothing newer than what the asker has",
        303: "elsewhere",
        400: "bad request",
        401: "not logged in, or not signed",
        403: "csrf, origin, no_right, not_on_duty, foreign_area or not_owner",
        404: "unknown",
        409: "refused",
        413: "the body is too large",
        423: "the screen is locked",
        429: "dial_limit, too_many: too many of ours, or of yours; retry_s says when to try again",
        503: "not now",
    }
    return {str(status): {"description": words[status]} for status in statuses}


_READING = (200, 400, 403, 404, 503)
_NUMBERS = frozenset(("since", "wait", "shard"))


def _get(summary: str, *statuses: int, parameters: tuple[str, ...] = ()) -> Json:
    query = [{"name": name, "in": "query", "schema": _parameter(name)} for name in parameters]
    return {"get": {"summary": summary, "parameters": query, "responses": _answers(200, *statuses)}}


def _parameter(name: str) -> Json:
    return {"type": "integer" if name in _NUMBERS else "string"}


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


def _provider_paths() -> Json:
    text: Json = {"type": "string"}
    given: Json = {
        "state": {"enum": [state.value for state in ProviderState]},
        "until": {"type": "string", "format": "date-time"},
        "why": {"type": "string", "description": "a word such as credit or prepaid_funds"},
        "stars": {"type": "number"},
        "scale": {"type": "integer"},
        "assessor": text,
        "on": {"type": "string", "format": "date"},
        "decision": {"enum": sorted(DECISIONS)},
    }
    needed = {"state": ["state"], "block": ["why"], "grade": ["stars", "scale", "assessor", "on"], "proposal": ["decision"]}
    paths: Json = {
        "/api/v1/providers": _get(
            f"providers by id, at most {PAGE} and as long as `after` is not null more; counts; state: {', '.join(STATES_OF_PROVIDERS)}",
            400,
            parameters=("state", "after"),
        ),
        "/api/v1/providers/{id}": _get("one provider, with what nobody else could serve without it", 404),
    }
    for what, (_, fields) in RULINGS.items():
        properties: Json = {name: given[name] for name in fields} | {"reason": text}
        required = [*needed.get(what, []), *(["reason"] if what != "grade" else [])]
        paths[f"/api/v1/providers/{{id}}/{what}"] = _post(f"rule about a provider: {what}", properties, required, *(200, 400, 403, 404, 409, 503))
    return paths


def _complete(path: str, item: Any) -> None:
    """Names in the path are parameters; what the guard may say, every route may."""
    places = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in PLACES.findall(path)]
    for operation in item.values():
        operation["parameters"] = [*places, *operation.get("parameters", ())]
        operation["responses"] = _answers(*GUARDED) | operation["responses"]


def _access_paths() -> Json:
    text: Json = {"type": "string", "maxLength": TEXT_LIMIT}
    own = (200, 400, 401, 403, 409, 423, 429, 503)
    return {
        "/api/v1/login": _post("log in; a new cookie", {"login": text, "password": text, "code": text}, ["login", "password"], *own),
        "/api/v1/logout": _post("end the session, also from the lock screen", {}, [], *own),
        "/api/v1/lock": _post("show counts only until it is unlocked; alarms go on", {}, [], *own),
        "/api/v1/unlock": _post("by password or PIN", {"secret": text}, ["secret"], *own),
        "/api/v1/password": _post("change one's own; every other session of the account ends", {"old": text, "new": text}, ["old", "new"], *own),
        "/api/v1/pin": _post("set the PIN of the lock screen, or take it away", {"password": text, "pin": text}, ["password"], *own),
        "/api/v1/totp": _post(
            "second factor: enrol tells a secret, confirm with a code makes it count, drop takes it away",
            {"what": {"enum": ["enrol", "confirm", "drop"]}, "password": text, "code": text},
            ["what"],
            *own,
        ),
        **_account_paths(),
    }


def _account_paths() -> Json:
    text: Json = {"type": "string", "maxLength": TEXT_LIMIT}
    areas: Json = {"type": "array", "items": {"type": "string"}}
    role: Json = {"enum": list(ASSIGNABLE)}
    whose: Json = {"login": text}
    answers = (200, 400, 401, 403, 404, 409, 423, 503)
    path = "/api/v1/accounts"

    def change(summary: str, **more: Json) -> Json:
        return _post(summary, whose | more, ["login", *(name for name in more if name in ("password", "session"))], *answers)

    return {
        path: _get("every account, without its secrets; the areas that there are")
        | _post(
            "a new account; without a password one is made up and told this once",
            {**whose, "name": text, "role": role, "areas": areas, "password": text, "own": {"type": "boolean"}},
            ["login", "name", "role"],
            *(201, *answers[1:]),
        ),
        f"{path}/change": change(
            "another name, role or identity at the OpenID provider (both end its sessions), or areas",
            name=text,
            role=role,
            areas=areas,
            external=text,
        ),
        f"{path}/disable": change("may not log in any more; every session ends at once"),
        f"{path}/enable": change("may log in again"),
        f"{path}/reset_password": change("a one-time password, told this once; every session ends"),
        f"{path}/set_password": change("a password of one's choice; own: typed by its owner", password=text, own={"type": "boolean"}),
        f"{path}/reset_totp": change("take the second factor away"),
        f"{path}/unlock": change("forget its wrong tries"),
        f"{path}/sessions": change("where it is logged in"),
        f"{path}/end_session": change("end one of them", session=text),
    }


def _past_paths() -> Json:
    """What was: searching, printing, recordings, exports, the audit."""
    text: Json = {"type": "string"}
    when: Json = {"type": "string", "format": "date-time"}
    number: Json = {"type": "integer"}
    yes: Json = {"type": "boolean"}
    named: Json = dict.fromkeys(SEARCHED, text)
    searched: Json = named | {"complaint": yes, "since": when, "until": when, "after": number}
    return {
        "/api/v1/search": _post("incidents by one box for everything; `as`: what it was taken for", {"wanted": text}, ["wanted"], *_READING),
        "/api/v1/history": _post("incidents, open and closed, newest first, 50 and `after`; each field given must fit", searched, [], *_READING),
        "/api/v1/incidents/{id}/history": _get("person and device of an incident: the newest incidents, ninety days in figures", 404, 503),
        "/api/v1/incidents/{id}/print": _post(
            "everything of an incident for a document; in full by right and with a reason; journalled first",
            {"full": yes, "reason": text},
            [],
            *(200, 400, 403, 404, 503),
        ),
        "/api/v1/incidents/{id}/recordings": _get("its calls, and of each: is a recording there, not, or expired", 404, 503),
        "/api/v1/incidents/{id}/listen": _post(
            "a ticket for the recording of a call, for who has the open incident in hand or supervises its area; journalled first",
            {"call": text, "reason": text},
            ["call", "reason"],
            *(200, 400, 403, 404, 503),
        ),
        "/api/v1/recordings/{ticket}": _get("the sound, with Range, for the browser that asked for it, for a quarter of an hour", 404, 503),
        "/api/v1/exports": _get("what was taken out before", 503)
        | _post(
            "write a file of a period; journalled with rows and SHA-256 before there is a ticket for it; full data by right only",
            {"from": when, "to": when, "what": {"enum": sorted(SCOPES)}, "format": {"enum": ["csv", "jsonl"]}, "masked": yes, "reason": text},
            ["from", "to", "what", "reason"],
            *(200, 400, 403, 503),
        ),
        "/api/v1/exports/{ticket}": _get("the file, once, for the browser that asked for it, within a minute", 404),
        "/api/v1/audit": _get("the newest entries about who saw and did what", 503)
        | _post(
            "who saw and did what, newest first, 100 and `after`; reading it is journalled, too",
            {"kinds": {"type": "array", "items": text}, "actor": text, "about": text, "since": when, "until": when, "after": number},
            [],
            *(200, 400, 403, 503),
        ),
        "/api/v1/audit/verify": _get("how far the walk over the chain is, or what it found")
        | _post("walk over the whole chain; one at a time", {}, [], 200, 403),
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
        "/api/v1/oidc/start": _get("to the page of the OpenID provider (303)", 303, 404),
        "/api/v1/oidc/return": _get("back from there: logged in, or why not, behind the # of our page", 303, 404, parameters=("state", "code")),
        "/api/v1/duty": _post(
            "come on duty under a name, or leave (null)",
            {"name": {"type": ["string", "null"]}, "extension": {"type": ["string", "null"]}},
            [],
            200,
            400,
            403,
        ),
        "/api/v1/changes": _get("changes since a number, or a snapshot (reset)", 400, 503, parameters=("since", "epoch", "wait")),
        "/api/v1/lines": _get("the lines and their states, of a mapping line with its profiles: running, refused or shut_off"),
        "/api/v1/devices": _get(
            f"devices, worst first, at most 100 and as long as `after` is not null more; masked; counts per class; state: {', '.join(STATES)}",
            *(400, 409),
            parameters=("state", "line", "class", "model", "firmware", "after"),
        ),
        "/api/v1/devices/{line}/{address:path}": _get("one device; the `ref` of a row is its address here, line * one that was never heard", 404),
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
            "answer of a web station; X-Signature: sha256=<HMAC-SHA-256 of the body>, or of X-Timestamp, a full stop and the body",
            {
                **{"delivery": text, "answer": {"enum": sorted(ANSWERS)}, "by": text, "note": text},
                **{"promised_at": {"type": "string", "format": "date-time"}, "outcome": {"enum": ["not_taken"]}},
            },
            ["delivery", "answer"],
            *(200, 400, 401, 404, 409, 503),
            security=[],
        ),
    }
    paths["/api/v1/incidents/{id}/cap"] = _get(
        "one incident as a CAP 1.2 alert (application/cap+xml), without names, numbers and addresses", 400, 404, parameters=("to", "language")
    )
    paths["/api/v1/map"] = _get(
        "what lies under the map: layers and their troubles, boundary (no points if boundary= names it), responders of the reader's areas",
        parameters=("boundary",),
    )
    paths["/api/v1/map/incidents"] = _get("open alarms by squares of about a kilometre: nobody's door")
    paths["/api/v1/incidents/{id}/map"] = _get(
        "where the person of one incident is (to about a kilometre for whoever may not see the record), who could come, how far in fifteen minutes",
        *(404, 503),
    )
    paths["/tiles/{layer}/{z}/{x}/{y}"] = _get("a square of the base map, rows from the north; an empty picture where there is none", 400, 404)
    paths["/api/v1/texts"] = _post(
        "what an SMS provider posts, in its own form, proved by the secret of [dispatch.sms.callback]",
        {},
        [],
        *(200, 400, 401, 404, 503),
        security=[],
    )
    paths["/api/v1/incidents/{id}/reveal"] = _post(
        "full telephone numbers for the owner of the open incident, and the record for a supervisor of the area; journalled first. emergency, with a"
        " text: for anybody on duty, anywhere; marked, and told to the supervisors of the place at once",
        {"reason": {"enum": REVEAL_REASONS}, "emergency": {"type": "boolean"}, "text": text},
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
    paths["/api/v1/calls/{key}/answer"] = _post(
        "send a ringing call to one's own telephone, where the exchange can", {}, [], *(200, 400, 403, 404, 409, 503)
    )
    paths["/api/v1/calls/{key}/hang_up"] = _post(
        "end a call of one's own, or what one has dialled (key: its id)", {}, [], 200, 400, 403, 404, 409, 503
    )
    paths["/api/v1/calls/{key}/transfer"] = _post(
        "send the caller on to an extension of calls.agents", {"to": text}, ["to"], *(200, 400, 403, 404, 409, 503)
    )
    paths |= _provider_paths() | desk_paths(_get, _post) | register_paths(_get, _post)
    paths["/api/v1/persons"] = _post(
        "people by whole telephone number, id, or the beginning of the name; masked. In the body, so that no name or number stands in an address",
        {"wanted": text},
        ["wanted"],
        *(200, 400, 403),
    )
    paths["/api/v1/services"] = _get("ordinary services: code, what this place calls it, every other word for it")
    paths["/api/v1/requests"] = _get(
        f"requests for ordinary services, wanted soonest first, a page of 100, `after`: where the next begins; masked; counts; {', '.join(ASKED)}",
        400,
        parameters=("state", "service", "person", "after"),
    ) | _post(
        "file a request for an ordinary service; it enters a queue of its own and no alarm waits for it. Nothing about health in `wish`",
        {"person": text, "service": text, "wanted_at": {"type": "string", "format": "date-time"}, "wish": text},
        ["person", "service"],
        *(200, 400, 403, 404, 503),
    )
    paths["/api/v1/watch"] = _get(
        "persons whose signs of life are watched, who is missed first, at most 100 and as long as `after` is not null more; masked; counts",
        400,
        parameters=("after",),
    )
    paths["/api/v1/watch/{person}/absence"] = _post(
        "a watched person is away: no sign of life is expected until then, or until it is cancelled; announced again it is changed",
        {"until": {"type": "string", "format": "date-time"}, "by": {"enum": list(BY)}, "name": text, "note": text},
        [],
        *(200, 400, 403, 404, 409, 503),
    )
    paths["/api/v1/watch/{person}/family_link"] = _post(
        "the signed link of a family contact who consented, by place in the list from 1; journalled; give it to that person alone",
        {"contact": {"type": "integer", "minimum": 1}},
        ["contact"],
        *(200, 400, 403, 404, 409, 503),
    )
    paths["/api/v1/incidents/{id}/decisions"] = _get(
        "every routing decision of an incident: whom it chose and why, everybody looked at with the reason, in words of language=",
        parameters=("language",),
    )
    paths["/api/v1/service-levels"] = _get(
        "calls and alarms against their profiles, live: per hotline, area and clock (answer, take, inform, arrive, call_back); what runs now",
        parameters=("hotline", "area"),
    )
    paths["/api/v1/aid"] = _get("agreements of mutual aid and which are in force; what is lost or saturated; guests; places of each district")
    paths["/api/v1/aid/{matter}/{subject:path}"] = _post(
        'rule about lost (a responder), saturated (a district), aid (an agreement: closed, called), guest (a helper\'s operator); value "" lifts it',
        {"value": text, "reason": text, "until": {"type": ["string", "null"], "format": "date-time"}, "agreement": text},
        ["value", "reason"],
        *(200, 400, 403, 404, 409, 503),
    )
    paths |= _past_paths()
    paths["/api/v1/purge"] = _post(
        "erase what is kept longer than [retention] says, or all about one person whom the register does not have any more",
        {"person": {"type": "string"}, "reason": {"type": "string", "maxLength": 500}},
        [],
        *(200, 400, 403, 409, 503),
    )
    paths["/api/v1/watch/{person}/absence_over"] = _post("the person is back: a full interval begins", {}, [], *(200, 403, 404, 409, 503))
    paths["/api/v1/platforms/{platform}/incidents"] = _post(
        "another platform files a matter, or more about one; signed as docs/guide/upward.md says; the same again is the same incident",
        {name: {} for name in Filing.__struct_encode_fields__},
        ["id", "kind"],
        *(200, 201, 400, 401, 409, 429, 503),
        security=[],
    )
    paths["/api/v1/platforms/{platform}/incidents/{external}"] = _get("what became of it; signed as above, least data", 401, 404, 503)
    paths["/api/v1/platforms/{platform}/persons/{external}"] = {
        "put": _post("which of our persons one of theirs is; signed", {"person": {}}, [], *(200, 400, 401, 404, 503), security=[])["post"]
    }
    paths["/api/v1/upward"] = _get("how far each municipal counterpart and subscriber has been told, and the days compared", 503)
    paths["/api/v1/journal-feed"] = _get(
        "events and key nodes after a journal entry, lines of JSON without persons; X-Next: from where to go on."
        " shard: whose journal, where several machines have several",
        *(400, 404, 503),
        parameters=("after", "shard"),
    )
    paths["/api/v1/spare/{what}"] = _get(
        "what a warm spare asks for: begin, base, log, head or files; the token of spare.token_file, and never in the clear."
        " standing: which take-over runs here, proven by the token",
        *(204, 400, 401, 403, 404, 409, 503),
        parameters=("generation", "offset", "check", "known", "seq", "nonce", "instance", "takeovers", "proof"),
    )
    paths |= _access_paths()
    for action, fields in FIELDS.items():
        properties: Json = {name: {"enum": WORDS[name]} if name in WORDS else {"type": _TYPES[kind]} for name, (kind, _) in fields.items()}
        required = [name for name, (_, must) in fields.items() if must]
        expected = {"state": text, "version": {"type": "integer"}}
        paths[f"/api/v1/incidents/{{id}}/{action}"] = _post(f"{action}", properties | expected, required, 200, 400, 403, 404, 409, 503)
    for path, item in paths.items():
        _complete(path, item)
    return {
        "openapi": "3.1.0",
        "info": {"title": "12349 gateway", "version": own_version()},
        "paths": {path.replace(":path", ""): item for path, item in paths.items()},
        "components": {
            "securitySchemes": {
                "session": {"type": "apiKey", "in": "cookie", "name": "session"},
                "csrf": {"type": "apiKey", "in": "header", "name": "X-CSRF"},
            }
        },
    }
