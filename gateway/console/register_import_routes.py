"""Files of the register over HTTP: what a new one would change, taking it, and the files with the corrections in them."""

import asyncio
import csv
import io

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.console.asking import Asking, answered, read_body
from gateway.console.guard import reader_of
from gateway.console.reader import Reader
from gateway.console.register_routes import author_of
from gateway.console.register_views import OF_PEOPLE, finding_view, shown, title_of
from gateway.console.views import Json
from gateway.core.corrections import RecordKind
from gateway.errors import Refused
from gateway.event import Kind
from gateway.register_import import UPLOAD_LIMIT, Change, Preview

UPLOAD_S = 120.0  # 64 MiB over a branch office's 8 Mbit/s take 67 s
AT_ONCE = 1  # uploads: each holds its bytes and as much again while it is compared


class Upload(msgspec.Struct, forbid_unknown_fields=True):
    """csv: the whole file as text; digest, reason: of a preview that is to be taken."""

    kind: RecordKind
    csv: str
    digest: str = ""
    reason: str = ""


class RegisterImportRoutes(Asking):
    """Whole files are for who looks after the whole district."""

    _one = asyncio.Semaphore(AT_ONCE)

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/api/v1/register/import", self.preview, methods=["POST"]),
            Route("/api/v1/register/import/take", self.take, methods=["POST"]),
            Route("/api/v1/register/export", self.export, methods=["POST"]),
        ]

    async def preview(self, request: Request) -> Response:
        """{kind, csv}: new, changed, missing, faults, conflicts with corrections. Nothing is taken."""
        self._on_duty(request)
        _of_all(request)
        async with self._one:
            upload = await _upload(request)
            found = await self._house.corrections.preview(upload.kind, upload.csv.encode())
        return answered(self._view(found))

    async def take(self, request: Request) -> Response:
        """{kind, csv, digest, reason}: just what the preview with this digest showed; the file before is kept."""
        actor, reader = self._on_duty(request), _of_all(request)
        async with self._one:
            upload = await _upload(request)

            async def work() -> Json:
                author = author_of(actor, reader.role)
                taken = await self._house.corrections.take_file(author, upload.kind, upload.csv.encode(), upload.digest, upload.reason)
                return self._view(taken)

            return await self._once(request, actor, work)

    async def export(self, request: Request) -> Response:
        """{kind, reason}: a file of the register with the corrections in it, as CSV. Journalled before it is given."""
        actor = self._on_duty(request)
        _of_all(request)
        body = await self.fields(request, ("kind", "reason"))
        reason = body.get("reason")
        if not isinstance(reason, str) or not reason.strip():
            raise Refused("missing_reason", 400)
        try:
            kind = RecordKind(str(body.get("kind")))
        except ValueError:
            raise Refused("bad_kind", 400, allowed=list(RecordKind)) from None
        await self._house.note(Kind.EXPORTED, actor, what="register", record=kind, reason=reason.strip())
        data = await asyncio.to_thread(lambda: csv_of(*self._house.corrections.export(kind)))
        return Response(data, media_type="text/csv; charset=utf-8", headers={"content-disposition": f'attachment; filename="{kind.file}"'})

    def _view(self, found: Preview) -> Json:
        """Values are masked: whoever imports has the file, whoever looks over their shoulder has not."""
        register, corrections = self._house.register, self._house.corrections
        kind = found.kind
        view: Json = msgspec.to_builtins(found)
        view["changed_shown"] = [_change(kind, title_of(register, kind, one.key), one) for one in found.changed_shown]
        view["new_shown"] = [{"key": key} for key in found.new_shown]
        view["missing_shown"] = [{"key": key, "title": title_of(register, kind, key)} for key in found.missing_shown]
        view["conflicts"] = [finding_view(corrections, register, one) for one in found.conflicts]
        view["may_take"] = not found.faults
        return view


def csv_of(columns: list[str], rows: list[dict[str, str]]) -> bytes:
    """With the mark by which spreadsheets read Chinese."""
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode("utf-8-sig")


def _change(kind: RecordKind, title: str, one: Change) -> Json:
    fields = {name: [shown(kind, name, text, full=False) for text in both] for name, both in one.fields.items()}
    if kind in OF_PEOPLE and "address" in fields:
        fields["address"] = [shown(kind, "address", text, full=False) for text in one.fields["address"]]
    return {"key": one.key, "title": title, "fields": fields, "rows": one.rows}


def _of_all(request: Request) -> Reader:
    """Raises Refused: foreign_area."""
    reader = reader_of(request)
    if reader.areas:
        raise Refused("foreign_area", 403)
    return reader


async def _upload(request: Request) -> Upload:
    """Raises Refused: body_too_large, body_too_slow, bad_json."""
    body = await read_body(request, UPLOAD_LIMIT, UPLOAD_S)
    try:
        upload = await asyncio.to_thread(msgspec.json.decode, body, type=Upload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Refused("bad_json", 400) from None
    assert isinstance(upload, Upload)
    return upload
