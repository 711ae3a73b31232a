"""The register: are the files good and in force, can everybody in it be reached, is enough known of people? Ids only, never personal data."""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path

from gateway.clock import from_micros, utc_now
from gateway.core.duty import CHINA
from gateway.core.register import Register
from gateway.doctor.finding import Finding, bad, good, note, unknown
from gateway.doctor.gateway_itself import program, reload
from gateway.doctor.patient import Patient
from gateway.errors import ConfigError
from gateway.roads.in_use import OFF
from gateway.roads.in_use import look as look_at_roads

TOPIC, STATIONS = "register", "stations"
OLD = timedelta(days=92)  # devices and telephone numbers change every week: a quarter without a change means that nobody sends any
UNKNOWN_SHARE = 0.1  # of the persons: so many without a place or a contact are a list to work through, not single cases
LARGE = 40 * 2**20  # octets of persons.csv, about 300,000 persons: reading them takes longer than a quick look may
NAMED = 5
FAILING_SHARE = 0.1  # of the orders of a channel
FEW_ORDERS = 5


def look(patient: Patient) -> Iterator[Finding]:
    """Files, what is in force, persons."""
    folder = patient.config.district_folder
    if _is_large(patient):
        yield unknown(TOPIC, TOPIC, "register_large", folder=folder)
        return
    register = patient.register
    if isinstance(register, ConfigError):
        kept = "register_faulty_kept" if patient.is_answering else "register_faulty"
        yield bad(
            TOPIC, TOPIC, kept, first=register.problems[0], count=len(register.problems), check=f"{program()} check --config {patient.config.path}"
        )
        return
    yield from _in_force(patient, register)
    yield from _age(folder)
    yield from _persons(register)
    roads = look_at_roads(patient.config, register)
    if roads.state != OFF:
        yield (note if roads.wants_preparing else good)(
            TOPIC, "travel times", "roads_unused" if roads.wants_preparing else "roads_used", text=roads.text
        )


def look_at_stations(patient: Patient) -> Iterator[Finding]:
    """Who is to be sent: can an order reach them, and do orders arrive?"""
    if _is_large(patient) or isinstance(patient.register, ConfigError):
        return
    register = patient.register
    found = [*_left_out(patient, register), *_agreements(register), *_orders(patient)]
    yield from found
    if all(one.good for one in found):
        yield good(STATIONS, STATIONS, "stations_good", count=len(register.responders))


def _is_large(patient: Patient) -> bool:
    try:
        return not patient.whole and (patient.config.district_folder / "persons.csv").stat().st_size > LARGE
    except OSError:
        return False


def _in_force(patient: Patient, register: Register) -> Iterator[Finding]:
    running = patient.running
    if running is None:
        yield good(TOPIC, TOPIC, "register_readable", version=register.version)
        return
    version = running.label("gateway_config_info", "version")
    if version != register.version:
        word = "register_refused" if running.metric("gateway_config_reload_total", result="failed") else "register_stale"
        yield bad(TOPIC, TOPIC, word, old=version, new=register.version, folder=patient.config.district_folder, reload=reload(patient))
    else:
        yield good(TOPIC, TOPIC, "register_in_force", version=version)


def _age(folder: Path) -> Iterator[Finding]:
    newest = max((one.stat().st_mtime for one in folder.glob("*.csv")), default=0.0)
    changed = from_micros(int(newest * 1_000_000))
    if changed < utc_now() - OLD:
        yield note(TOPIC, "age", "register_old", at=changed.date().isoformat(), folder=folder, days=OLD.days)


def _persons(register: Register) -> Iterator[Finding]:
    total = len(register.persons)
    for word, count in (
        ("persons_without_place", sum(one.lat is None for one in register.persons.values())),
        ("persons_without_contact", sum(not one.contacts for one in register.persons.values())),
    ):
        if total and count / total > UNKNOWN_SHARE:
            yield note(TOPIC, "persons", word, count=count, total=total, share=f"{count / total:.0%}")


def _left_out(patient: Patient, register: Register) -> Iterator[Finding]:
    file = patient.config.district_folder / "responders.csv"
    for doubt in register.warnings:
        if doubt.what == "left_out":
            yield bad(STATIONS, doubt.of, "stations_without_channel", channel=doubt.of, ids=_first(doubt.ids), count=len(doubt.ids), file=file)
    robots = {one.name for one in patient.config.dispatch.robot}
    strange = [one.id for one in register.responders.values() if one.channel == "robot" and one.address not in robots]
    if strange:
        yield bad(STATIONS, "robot", "stations_without_robot", ids=_first(strange), file=file)


def _agreements(register: Register) -> Iterator[Finding]:
    today = utc_now().astimezone(CHINA).date()
    for word, file, ids in (
        ("providers_expired", "providers.csv", [one.id for one in register.providers.values() if one.until is not None and one.until < today]),
        ("agreements_expired", "agreements.csv", [one.id for one in register.agreements.values() if one.until < today]),
    ):
        if ids:
            yield note(STATIONS, file, word, ids=_first(ids), count=len(ids), today=today.isoformat(), file=file)


def _orders(patient: Patient) -> Iterator[Finding]:
    running = patient.running
    if running is None:
        return
    for channel in sorted(patient.config.channels):
        failed = running.metric("gateway_orders_total", channel=channel, result="failed")
        sent = running.metric("gateway_orders_total", channel=channel, result="sent")
        if failed and failed / (failed + sent) > FAILING_SHARE:
            facts = {"channel": channel, "failed": f"{failed:.0f}", "all": f"{failed + sent:.0f}"}
            yield (bad if failed + sent >= FEW_ORDERS else note)(STATIONS, f"channel {channel}", "orders_fail", **facts)


def _first(ids: Iterable[str]) -> str:
    some = list(ids)
    return ", ".join(some[:NAMED]) + (f", … ({len(some)})" if len(some) > NAMED else "")
