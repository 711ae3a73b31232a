"""The OpenAPI paths of the desk: supervisor, shifts, notices, maintenance, figures, operations. A part of gateway.console.openapi."""

from collections.abc import Callable

from gateway.console.views import Json

TEXT: Json = {"type": "string"}
TIME: Json = {"type": "string", "format": "date-time"}
NAMES: Json = {"type": "array", "items": {"type": "string"}}

Get = Callable[..., Json]
Post = Callable[..., Json]


def desk_paths(get: Get, post: Post) -> Json:
    """Every route of the desk; `get` and `post` make the description of one."""
    acted = (200, 400, 403, 404, 409, 503)
    return {
        "/api/v1/desk": get(
            "the supervisor's view of the reader's areas: operators, queues per area, shelved, maintenance, reveals of the last day, flood, shifts,"
            " complaints, stalled, rulings (frozen, lost, saturated)",
            503,
        ),
        "/api/v1/incidents/bulk": post(
            "one command for several incidents; each has its own result, `done` of `of`",
            {"ids": NAMES, "action": TEXT, "facts": {"type": "object"}},
            ["ids", "action"],
            *(200, 400, 403, 503),
        ),
        "/api/v1/flood": post(
            "flood mode by hand: on or off for at most a shift, auto: by the figures again",
            {"switch": {"enum": ["on", "off", "auto"]}, "reason": TEXT},
            ["switch", "reason"],
            *(200, 400, 403, 409, 503),
        ),
        "/api/v1/maintenance": get("devices in maintenance or test: what they send but presses for help is put on the shelf at once")
        | post(
            'put a device (of an incident, or line and ref) in maintenance (8 h) or test (24 h at most); value "" lifts it',
            {"incident": TEXT, "line": TEXT, "ref": TEXT, "value": {"enum": ["maintenance", "test", ""]}, "until": TIME, "reason": TEXT},
            ["value", "reason"],
            *acted,
        ),
        "/api/v1/shift": get("what the next shift must know, generated; pending handovers; notes of the last shift", 503)
        | post(
            "hand the shift over, to somebody or whoever comes; notes: incident → text, which becomes a note of it",
            {"to": TEXT, "text": TEXT, "notes": {"type": "object"}},
            [],
            *acted,
        ),
        "/api/v1/shift/{id}/confirm": post(
            "take a shift over; `ticked` names every open critical and major incident of it, else 409 not_ticked with `missing`",
            {"ticked": NAMES},
            ["ticked"],
            *acted,
        ),
        "/api/v1/shift/{id}/cancel": post("take back a handover that nobody has confirmed", {"reason": TEXT}, [], *acted),
        "/api/v1/notices": get("notices that still count, newest first, with who has acknowledged them")
        | post(
            "say something to everybody on duty, to stations, or both",
            {"text": TEXT, "to": {"enum": ["operators", "stations", "all"]}, "areas": NAMES, "until": TIME},
            ["text"],
            *(200, 400, 403, 503),
        ),
        "/api/v1/notices/{id}/acknowledge": post("I have read it", {}, [], *acted),
        "/api/v1/kpi": get(
            "alarm management of a period (31 days at most), after EEMUA 191 and ISA-18.2: rate per operator, levels, floods, worst sources,"
            " repeats, answering times",
            *(400, 503),
            parameters=("since", "until", "area"),
        ),
        "/api/v1/outcomes": get(
            "counts per area and month of outcome, response and satisfaction, nobody's name; counts below 5 are withheld",
            *(400, 503),
            parameters=("since", "until"),
        ),
        "/api/v1/complaints": post(
            "a complaint about an area or a responder, by the public's supervisor", {"area": TEXT, "about": TEXT, "note": TEXT}, ["note"], *acted
        ),
        "/api/v1/complaints/{id}/handle": post("what was done about it", {"note": TEXT}, ["note"], *acted),
        "/api/v1/ops": get(
            "how the machinery does, without persons: lines, senders, gaps, batteries, firmware, ears, rejected, queues, self-test", 503
        ),
        "/api/v1/shards": get("of several machines: which core owns which shard of the persons, since when, how far it is behind"),
        "/api/v1/risks": get("risk warnings of the reader's areas, unseen first, people before machines; of persons not for technicians"),
        "/api/v1/risks/seen": post(
            "somebody has looked at a warning; it waits again when it grows worse",
            {"rule": TEXT, "id": TEXT, "line": TEXT, "note": TEXT},
            ["rule", "id"],
            *acted,
        ),
        "/api/v1/self-test": get("synthetic alarms through every line's real wire: what came of the last, how long they take, what was missed")
        | post(
            "probe a point, all points of a line, or all, at once; answered when they were seen back or missed",
            {"point": TEXT, "line": TEXT},
            [],
            *(200, 400, 403, 404, 409),
        ),
    }
