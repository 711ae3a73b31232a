"""The sniffer's unit, judged by systemd's own tools, and its one right."""

import re
import subprocess
from pathlib import Path

from servers import program

from tests.sniffer.ear import ROOT

UNIT = ROOT / "systemd" / "gateway-sniffer.service"


def test_unit_verifies(tmp_path: Path) -> None:
    stand_in = tmp_path / "gateway-sniffer"  # the unit names an installed program: verify with one that exists
    stand_in.write_text("#!/bin/sh\n")
    stand_in.chmod(0o755)
    unit = tmp_path / "gateway-sniffer.service"
    unit.write_text(UNIT.read_text().replace("/usr/lib/gateway-12349/bin/gateway-sniffer", str(stand_in)))
    done = subprocess.run([program("systemd-analyze"), "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=60)
    complaints = [line for line in (done.stdout + done.stderr).splitlines() if "gateway-sniffer" in line]
    assert (done.returncode, complaints) == (0, [])


def test_unit_is_hardened() -> None:
    done = subprocess.run(
        [program("systemd-analyze"), "security", "--offline=true", "--no-pager", str(UNIT)], capture_output=True, text=True, timeout=60
    )
    exposure = re.search(r"Overall exposure level for gateway-sniffer\.service: ([\d.]+)", done.stdout)
    assert exposure is not None, done.stdout + done.stderr
    assert float(exposure[1]) <= 1.6, done.stdout


def test_it_may_listen_and_nothing_else() -> None:
    settings = dict(line.split("=", 1) for line in UNIT.read_text().splitlines() if "=" in line and not line.startswith("#"))
    assert settings["CapabilityBoundingSet"] == settings["AmbientCapabilities"] == "CAP_NET_RAW"
    assert settings["NoNewPrivileges"] == settings["DynamicUser"] == "yes"
