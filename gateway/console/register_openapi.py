"""The register's routes in the OpenAPI document."""

from collections.abc import Callable

from gateway.console.register_routes import LISTED, SOURCES
from gateway.console.views import Json
from gateway.core.corrections import RecordKind


def register_paths(get: Callable[..., Json], post: Callable[..., Json]) -> Json:
    """What gateway.console.openapi adds to its paths."""
    text: Json = {"type": "string"}
    number: Json = {"type": "integer"}
    kind: Json = {"enum": list(RecordKind)}
    row: Json = {"type": "object", "additionalProperties": text}
    source: Json = {"enum": list(SOURCES), "description": "who said so"}
    seen: Json = {"type": "integer", "description": "`newest` of the record as it was shown; another one meanwhile: 409 changed_meanwhile"}
    record: Json = {"kind": kind, "key": {"type": "string", "description": "its id; of a device LINE|ADDRESS"}}
    said: Json = {"reason": text, "source": source}
    told = (200, 400, 403, 404, 409, 503)
    of_record = "/api/v1/register/records/{kind}/{key:path}"
    changed: Json = {
        "cells": {**row, "description": "fields as the file has them"},
        "rows": {"type": "array", "items": row, "description": "of contacts and rosters: all rows, in order"},
    }
    return {
        "/api/v1/register/search": post("find a record; rows are masked", {"wanted": text, "kind": kind}, ["wanted"], *(200, 400, 403, 503)),
        "/api/v1/register/list/{kind}": get(f"records by id, a page at a time: {', '.join(LISTED)}", 400, parameters=("after",)),
        of_record: get("a record, masked, with where each field comes from and how old it is", *(400, 403, 404))
        | post("the whole record, for a reason; journalled before it is given", {"reason": text}, ["reason"], *(200, 400, 403, 404, 503)),
        "/api/v1/register/history/{kind}/{key:path}": get("what was said of a record, newest first; masked", *(400, 403, 404)),
        "/api/v1/register/correct": post("correct a record", {**record, **changed, **said, "seen": seen}, ["kind", "key", "reason"], *told),
        "/api/v1/register/confirm": post("somebody has just said that all of it holds", {**record, **said}, ["kind", "key"], *told),
        "/api/v1/register/new": post(
            "a record that no file has", {"kind": kind, "cells": row, **said}, ["kind", "cells", "reason"], *(200, 400, 403, 409, 503)
        ),
        "/api/v1/register/remove": post("a record is to be no more", {**record, **said, "seen": seen}, ["kind", "key", "reason"], *told),
        "/api/v1/register/take_back": post("a correction counts no more", {"correction": number, "reason": text}, ["correction", "reason"], *told),
        "/api/v1/register/conflicts": get("what file and people disagree about, and what no longer applies"),
        "/api/v1/register/decide": post(
            "the correction holds (keep), or the file was right (file)",
            {"correction": number, "decision": {"enum": ["keep", "file"]}, "reason": text},
            ["correction", "decision", "reason"],
            *told,
        ),
        "/api/v1/register/quality": get("how many records lack what somebody would need"),
        "/api/v1/register/quality/{what}": get("the records of one such count, masked, a page at a time", 400, parameters=("after",)),
        "/api/v1/register/facets": get("where, health, family, needs: counts by street, none under five"),
        "/api/v1/register/import": post(
            "what a new file would change; nothing is taken", {"kind": kind, "csv": text}, ["kind", "csv"], *(200, 400, 403)
        ),
        "/api/v1/register/import/take": post(
            "take the file that a preview with this digest has shown",
            {"kind": kind, "csv": text, "digest": text, "reason": text},
            ["kind", "csv", "digest", "reason"],
            *(200, 400, 403, 409, 503),
        ),
        "/api/v1/register/export": post(
            "a file of the register with the corrections in it, as CSV", {"kind": kind, "reason": text}, ["kind", "reason"]
        ),
    }
