"""Does the gateway run, does it answer, is it the version that is installed, and the configuration that is written?"""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from gateway import __version__
from gateway.doctor.finding import Finding, bad, good, note, unknown
from gateway.doctor.patient import Patient, is_service
from gateway.spare_guard import GAVE_WAY

TOPIC = "gateway"
ASK_S = 2.0
EXACT_S = 2.0  # the start of a process is told by the kernel in seconds since the boot, itself rounded


def look(patient: Patient) -> Iterator[Finding]:
    """One finding of the process; a second where its configuration was changed since it started."""
    config = patient.config
    if config.bus.servers and (patient.part is not None or not patient.is_answering):
        yield _part(patient)
        return
    if not config.console.enabled:
        yield unknown(TOPIC, TOPIC, "gateway_not_asked")
        return
    if not patient.is_answering:
        yield _absent(patient)
        return
    running = patient.running
    if running is None and patient.refusal == "":
        yield note(TOPIC, TOPIC, "gateway_other_certificate", file=config.console_certificate, restart=restart(patient))
        return
    if running is None:
        yield unknown(TOPIC, TOPIC, "gateway_does_not_know_us", reason=patient.refusal)
        return
    version = running.label("gateway_build_info", "version")
    if version != __version__:
        yield bad(TOPIC, TOPIC, "gateway_other_version", runs=version, installed=__version__, restart=restart(patient))
    elif running.metric("gateway_store_down"):
        yield bad(TOPIC, TOPIC, "gateway_store_down")
    else:
        yield good(TOPIC, TOPIC, "gateway_runs", version=version, listen=config.console.listen)
    started = running.metric("process_start_time_seconds")
    changed = _changed_at(config.path)
    if started and changed > started + EXACT_S:
        at = datetime.fromtimestamp(changed, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
        yield note(TOPIC, "gateway.toml", "config_newer", file=config.path, at=at, restart=restart(patient))


def _part(patient: Patient) -> Finding:
    """Of several machines: the edge or core that is on this one, if any."""
    part, listen = patient.part, patient.config.bus.listen
    if part is None:
        return bad(TOPIC, TOPIC, "part_none", listen=listen or "-")
    facts = {"role": part.role, "listen": listen}
    return good(TOPIC, TOPIC, "part_runs", **facts) if part.is_ready else bad(TOPIC, TOPIC, "part_not_ready", **facts)


def _absent(patient: Patient) -> Finding:
    listen, pid = patient.config.console.listen, patient.pid
    if pid is not None:
        again = "systemctl restart gateway" if is_service() else f"kill -9 {pid}; {start(patient)}"
        return bad(TOPIC, TOPIC, "gateway_hangs", pid=pid, listen=listen, again=again)
    mark = patient.config.data_folder / GAVE_WAY
    if mark.exists():
        return bad(TOPIC, TOPIC, "gateway_gave_way", mark=mark, when=mark.read_text("utf-8").strip())
    state = unit_state()
    if state in ("active", "activating"):
        return bad(TOPIC, TOPIC, "gateway_active_but_away", state=state, listen=listen)
    if patient.engine is None:
        return note(TOPIC, TOPIC, "gateway_never_started", start=start(patient))
    return bad(TOPIC, TOPIC, "gateway_not_running", listen=listen, start=start(patient))


def start(patient: Patient) -> str:
    """The command that starts it here."""
    if is_service():
        return "systemctl start gateway"
    return f"{program()} run --config {patient.config.path}"


def restart(patient: Patient) -> str:
    """… and that which starts it anew."""
    if is_service():
        return "systemctl restart gateway"
    pid = patient.pid
    if pid is None and not patient.is_answering:
        return start(patient)
    return f"kill {pid if pid is not None else 'PID'}; {start(patient)}"


def reload(patient: Patient) -> str:
    """… and that which makes it read registers and policy again."""
    if is_service():
        return "systemctl reload gateway"
    return f"kill -HUP {patient.pid if patient.pid is not None else 'PID'}"


def program() -> str:
    """How the gateway's own commands are called on this machine. The Debian package's /usr/bin/gateway lets root be the service's user."""
    if sys.prefix == "/usr/lib/gateway-12349":
        return "gateway"
    beside = Path(sys.executable).parent / "gateway"
    return str(beside) if beside.exists() else "gateway"


def unit_state() -> str:
    """What systemd says of the unit: active, failed, …; "" where there is no systemd."""
    if not Path("/run/systemd/system").is_dir():
        return ""
    try:
        said = subprocess.run(["systemctl", "is-active", "gateway.service"], capture_output=True, text=True, timeout=ASK_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return said.stdout.strip()


def _changed_at(file: str) -> float:
    try:
        return Path(file).stat().st_mtime
    except OSError:
        return 0.0
