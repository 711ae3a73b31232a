"""Reach sets: for each way (gateway.roads.ways) a table of travel times around it, all of them in one file that is named after its content.

The file is numpy's .npz, without pickles: `head` (JSON), five columns a way, and the tables one behind the other.
"""

import hashlib
import io
import os
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from gateway.roads.lattice import Box, Lattice
from gateway.roads.ways import WHEELS, Way

FORMAT = 1
UNKNOWN = 0xFFFF  # tenths of a minute; 109 hours
LONGEST = UNKNOWN - 1
WAYS_LIMIT = 20_000  # four cities of 4,500 responders
CELLS_LIMIT = 400_000_000  # 800 MB in memory: 10,000 cars; read before anything is believed
KEPT = 50  # files, the newest: as many registers can be replayed as there were places of stations
CURRENT = "current"
LEFT_S = 86_400.0  # nobody writes for a day
SUFFIX = ".npz"

Cells = NDArray[np.uint16]
NO_CELLS: Cells = np.empty((0, 0), dtype=np.uint16)


class Head(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the tables were made from.

    tiles       fingerprint of the tiles (gateway.roads.network)
    made_by     Valhalla's version: another one gives other times
    lat_step, lon_step  degrees of a cell (gateway.roads.lattice)
    """

    format: int = FORMAT
    tiles: str
    made_by: str
    cell_m: float
    reach_min: float
    lat_step: float
    lon_step: float

    @property
    def lattice(self) -> Lattice:
        return Lattice(self.lat_step, self.lon_step)


class ReachSets:
    """Read or made whole, never changed. `rows` says which table a way has; `cells` ends with one UNKNOWN for whoever asks outside."""

    def __init__(self, head: Head, tables: Mapping[Way, tuple[Box, Cells]]) -> None:
        self.head = msgspec.json.decode(msgspec.json.encode(head), type=Head)  # 200 becomes 200.0, as it will be read again: the digest is over it
        self.ways = sorted(tables)
        boxes = [tables[way][0] for way in self.ways]
        self.boxes: NDArray[np.int64] = np.array(boxes, dtype=np.int64).reshape(-1, 4)
        self.cells: Cells = np.concatenate([*(tables[way][1].ravel() for way in self.ways), np.array([UNKNOWN], dtype=np.uint16)])
        self._index()

    def _index(self) -> None:
        sizes = self.boxes[:, 2] * self.boxes[:, 3]
        self.starts: NDArray[np.int64] = np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(sizes)))
        if len(self.cells) != self.starts[-1] + 1 or (self.boxes[:, 2:] < 0).any() or self.cells[-1] != UNKNOWN:
            raise ValueError("tables and boxes do not fit together")
        self.rows = {way: row for row, way in enumerate(self.ways)}
        self.digest = self._digest()

    def _digest(self) -> str:
        made = hashlib.sha256(msgspec.json.encode(self.head))
        for part in _columns(self.ways):
            made.update(part.tobytes())
        made.update(self.boxes.astype("<i8").tobytes())
        made.update(self.cells.astype("<u2", copy=False).tobytes())
        return made.hexdigest()[:12]

    def table(self, way: Way) -> tuple[Box, Cells]:
        """The table of a way that is in here: [row, column], tenths of a minute."""
        row = self.rows[way]
        box = Box(*(int(one) for one in self.boxes[row]))
        return box, self.cells[self.starts[row] : self.starts[row + 1]].reshape(box.rows, box.columns)

    def write(self, folder: Path) -> Path:
        """Write it and make it the current one; the oldest of more than KEPT go. OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{self.digest}{SUFFIX}"
        lat, lon, wheels, kmh = _columns(self.ways)
        head = np.frombuffer(msgspec.json.encode(self.head), dtype=np.uint8)
        new = folder / f".{self.digest}.{os.getpid()}"
        with new.open("wb") as out:
            np.savez_compressed(out, head=head, lat=lat, lon=lon, wheels=wheels, kmh=kmh, boxes=self.boxes, cells=self.cells)
            out.flush()
            os.fsync(out.fileno())
        new.replace(file)
        pointer = folder / f".{CURRENT}.{os.getpid()}"
        pointer.write_text(self.digest + "\n", encoding="ascii")
        pointer.replace(folder / CURRENT)
        for left in folder.glob(".*"):  # of somebody who was killed while writing
            if time.time() - left.stat().st_mtime > LEFT_S:
                left.unlink(missing_ok=True)
        kept = sorted((one for one in folder.glob(f"*{SUFFIX}") if one != file), key=lambda one: one.stat().st_mtime)
        for old in kept[: max(0, len(kept) + 1 - KEPT)]:
            old.unlink(missing_ok=True)
        return file


def current(folder: Path) -> ReachSets | None:
    """The sets in force; None: nobody has prepared any. Raises ValueError with the remedy when they are damaged."""
    try:
        digest = (folder / CURRENT).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder / CURRENT} cannot be read ({error}); run gateway roads prepare") from error
    found = read(folder, digest)
    if found is None:
        raise ValueError(f"{folder / CURRENT} names {digest!r}, which is not there; run gateway roads prepare")
    return found


def read(folder: Path, digest: str) -> ReachSets | None:
    """The sets of this digest; None: they are not here. Raises ValueError with the remedy when they are damaged."""
    file = folder / f"{digest}{SUFFIX}"
    if not (digest.isascii() and digest.isalnum()) or not file.is_file():
        return None
    try:
        found = _read(file)
    except Exception as error:  # on bad bytes numpy and zipfile raise nearly anything, from TokenError to MemoryError
        raise ValueError(f"{file} is damaged ({error}); remove it and run gateway roads prepare") from error
    if found.digest != digest:
        raise ValueError(f"{file} holds {found.digest} and not what its name says; remove it and run gateway roads prepare")
    return found


def _read(file: Path) -> ReachSets:
    with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as parts:
        head = msgspec.json.decode(parts["head"].tobytes(), type=Head)
        if head.format != FORMAT:
            raise ValueError(f"it is of format {head.format}, we read {FORMAT}")
        boxes = np.asarray(parts["boxes"], dtype=np.int64)
        if boxes.ndim != 2 or boxes.shape[1] != 4 or len(boxes) > WAYS_LIMIT:
            raise ValueError(f"its boxes are {boxes.shape}")
        sizes = boxes[:, 2] * boxes[:, 3]
        if (boxes[:, 2:] < 0).any() or (boxes[:, 2:] > 1 << 16).any() or sizes.sum() > CELLS_LIMIT:
            raise ValueError("its tables are too large")
        columns = [np.asarray(parts[name]) for name in ("lat", "lon", "wheels", "kmh")]
        if any(one.shape != (len(boxes),) for one in columns):
            raise ValueError("its columns are of different lengths")
        lat, lon, wheels, kmh = (one.tolist() for one in columns)
        cells = np.asarray(parts["cells"])
        if cells.dtype != np.uint16 or cells.ndim != 1:
            raise ValueError(f"its cells are {cells.dtype}")
    found = ReachSets.__new__(ReachSets)
    found.head, found.boxes, found.cells = head, boxes, cells
    found.ways = [Way(one, other, WHEELS[number], speed) for one, other, number, speed in zip(lat, lon, wheels, kmh, strict=True)]
    found._index()
    return found


def _columns(ways: list[Way]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.uint8], NDArray[np.float64]]:
    return (
        np.array([way.lat for way in ways], dtype="<f8"),
        np.array([way.lon for way in ways], dtype="<f8"),
        np.array([WHEELS.index(way.wheels) for way in ways], dtype=np.uint8),
        np.array([way.kmh for way in ways], dtype="<f8"),
    )
