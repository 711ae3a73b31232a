"""Hours of mixed load with a fault every minute: memory flat, no open file or thread too many, books balanced. The play is in soak.py.

SOAK_S: seconds of the long form, two hours if not said.
"""

import os
from pathlib import Path

import pytest
from soak import Soak, soak

LONG_S = float(os.environ.get("SOAK_S", "7200"))
FLAT_MIB_H = 8.0  # what is flatter cannot be told from noise in two hours


async def test_soak_of_a_minute(tmp_path: Path) -> None:
    line, _ = await soak(tmp_path, Soak(seconds=45, fault_every_s=6))
    print(line)


@pytest.mark.campaign
@pytest.mark.parametrize("kills", [False, True], ids=["one-life", "killed"])
async def test_soak_of_hours(tmp_path: Path, kills: bool) -> None:
    line, slope = await soak(tmp_path, Soak(seconds=LONG_S, fault_every_s=60, kills=kills))
    print(line)
    if not kills and LONG_S >= 7200:  # in less SQLite's cache is still filling
        assert slope is not None
        assert slope <= FLAT_MIB_H, line
