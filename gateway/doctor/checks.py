"""The table of everything that is looked at, in order: what a later check stands on comes first."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from gateway.config import Config, examine_config
from gateway.doctor import backups as backup_check
from gateway.doctor import (
    brokers,
    certificates,
    clock,
    cluster,
    console,
    district,
    gateway_itself,
    journal,
    limits,
    lines,
    people,
    rights,
    self_tests,
    storage,
)
from gateway.doctor.finding import Finding, bad, good, unknown
from gateway.doctor.patient import Patient

CONFIGURATION = "configuration"


class Check(NamedTuple):
    """topic: by which it is chosen (`--only`); look: gives its findings, and never raises what is not a bug."""

    topic: str
    look: Callable[[Patient], Iterator[Finding]]


CHECKS: tuple[Check, ...] = (
    Check(gateway_itself.TOPIC, gateway_itself.look),
    Check(storage.TOPIC, storage.look),
    Check(storage.DISK, storage.look_disk),
    Check(journal.TOPIC, journal.look),
    Check(backup_check.TOPIC, backup_check.look),
    Check(cluster.TOPIC, cluster.look),
    Check(rights.TOPIC, rights.look),
    Check(clock.TOPIC, clock.look),
    Check(certificates.TOPIC, certificates.look),
    Check(brokers.TOPIC, brokers.look),
    Check(lines.TOPIC, lines.look),
    Check(self_tests.TOPIC, self_tests.look),
    Check(console.TOPIC, console.look),
    Check(people.TOPIC, people.look),
    Check(district.TOPIC, district.look),
    Check(district.STATIONS, district.look_at_stations),
    Check(limits.TOPIC, limits.look),
)
TOPICS = (CONFIGURATION, *dict.fromkeys(check.topic for check in CHECKS))


def examine_file(path: str, *, only: Collection[str] = (), ntp: Sequence[str] = (), backups: Sequence[str] = ()) -> Iterator[Finding]:
    """Look at what this configuration file names. A file that cannot be read as a table is the only finding then."""
    config, problems = examine_config(path)
    # Certificates and the register have checks of their own, which say more.
    problems = [one for one in problems if not certificates.KEYS.search(one)]
    if not only or CONFIGURATION in only or problems:
        yield from (bad(CONFIGURATION, CONFIGURATION, "config_fault", problem=one) for one in problems)
        if not problems:
            yield good(CONFIGURATION, CONFIGURATION, "config_good", file=path)
    if not problems:  # a key with a fault has its default, of which nothing true could be told
        yield from examine(config, only=only, ntp=ntp, backups=backups)


def examine(config: Config, *, only: Collection[str] = (), ntp: Sequence[str] = (), backups: Sequence[str] = ()) -> Iterator[Finding]:
    """Look at everything that this configuration names, or at these topics; a slow check yields its findings when it has them."""
    patient = Patient(config, ntp=ntp, backups=backups, whole=bool(only))
    try:
        for check in CHECKS:
            if not only or check.topic in only:
                yield from _looked(check, patient)
    finally:
        patient.close()


def _looked(check: Check, patient: Patient) -> Iterator[Finding]:
    """A bug in one check leaves the others standing."""
    findings: Iterable[Finding] = check.look(patient)
    try:
        yield from findings
    except Exception as error:
        yield unknown(check.topic, check.topic, "check_failed", reason=f"{type(error).__name__}: {error}")
