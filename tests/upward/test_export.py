"""`gateway export`: what leaves for analysis and for a volunteers' platform, from a real journal by the real command."""

import csv
import io
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from gateway.cli import main
from gateway.core.incident import Leg, LegState, Role
from gateway.event import Kind
from gateway.store.store import Batch
from tests.core.room import START
from tests.upward.told import StoredRoom

HONGGU = Path(__file__).parents[2] / "config" / "districts" / "honggu"


def configure(folder: Path) -> str:
    (folder / "districts").mkdir()
    (folder / "districts" / "honggu").symlink_to(HONGGU)
    file = folder / "gateway.toml"
    file.write_text('[gateway]\ndata = "data"\n')
    return str(file)


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


async def test_figures_without_persons(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = configure(tmp_path)
    with StoredRoom(tmp_path / "data") as room:
        for number in range(7):
            incident = await room.story("w-wang")
            known = room.working.incidents[incident]
            room.store.write(Batch(incidents=[msgspec.structs.replace(known, person=f"invented-{number}")]))
        await room.story("w-li")
        period = ["--since", "2026-03-14", "--until", "2026-03-14", "--config", file]
        assert main(["export", "analytics", *period]) == 0
        said = capsys.readouterr().out
        (cell,) = rows(said)
        assert (cell["period"], cell["kind"], cell["incidents"], cell["persons"]) == ("2026-03", "sos", "8", "8")
        assert not any(word in said for word in ("wang", "invented", "I1000", "+86"))
        assert main(["export", "analytics", "--since", "2026-03-15", "--until", "2026-03-15", "--config", file]) == 0
        assert rows(capsys.readouterr().out) == []
        assert main(["export", "analytics", "-k", "2", *period]) == 1
        assert "write 3 or more" in capsys.readouterr().err


async def test_hours_that_a_neighbour_gave(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = configure(tmp_path)
    with StoredRoom(tmp_path / "data") as room:
        room.press("w-wang")
        leg = Leg(delivery="d-1", responder="neighbour-1", channel="console", state=LegState.DONE, ordered_at=START, reply_by=START, ts=0)
        leg = msgspec.structs.replace(leg, role=Role.NEIGHBOUR, answered_at=START + timedelta(minutes=1), arrived_at=START + timedelta(minutes=4))
        forgotten = msgspec.structs.replace(leg, delivery="d-2")
        incident = msgspec.structs.replace(room.only, legs=(leg, forgotten))
        room.working.incidents[incident.id] = incident
        room.store.write(Batch(incidents=[incident]))
        room.now += timedelta(minutes=46)
        room.working.by_delivery["d-1"] = incident.id
        draft_leg = msgspec.structs.replace(leg, state=LegState.ARRIVED)
        room.working.incidents[incident.id] = msgspec.structs.replace(incident, legs=(draft_leg, forgotten))
        assert room.answer("neighbour-1", "done", "d-1") == "stored"
        assert [record.kind for record in room.records][-1] in (Kind.DONE, Kind.RESOLVE)
        assert main(["export", "volunteers", "--since", "2026-03-14", "--until", "2026-03-14", "--config", file]) == 0
        said = capsys.readouterr().out
        assert rows(said) == [
            {"volunteer": "neighbour-1", "incident": incident.id, "day": "2026-03-14", "from": "11:01", "until": "11:46", "minutes": "45"}
        ]
