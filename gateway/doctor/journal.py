"""The journal: is its chain whole, and is none of it from the future?"""

from collections.abc import Iterator
from datetime import timedelta

from sqlalchemy.exc import SQLAlchemyError

from gateway.clock import from_micros, monotonic, utc_now
from gateway.doctor.finding import Finding, bad, good, unknown
from gateway.doctor.gateway_itself import program
from gateway.doctor.patient import Patient
from gateway.store.chain import Broken, verify
from gateway.store.store import Store, reason_of

TOPIC = "journal"
WALK_S = 2.0  # about 60,000 entries; `--only journal` walks to the end
AHEAD = timedelta(seconds=60)  # so far in the future no clock that is kept drifts


def look(patient: Patient) -> Iterator[Finding]:
    """Walk each chain from its first entry, for WALK_S unless there is time for all."""
    if patient.engine is None:
        yield unknown(TOPIC, TOPIC, "journal_none")
        return
    for what, store in patient.journals:
        yield from _look(patient, what, store)


def _look(patient: Patient, what: str, store: Store) -> Iterator[Finding]:
    give_up = None if patient.whole else monotonic() + WALK_S
    proven, newest = 0, None

    def rows() -> Iterator[object]:
        nonlocal newest
        for row in store.journal():
            newest = row.at
            yield row
            if give_up is not None and monotonic() > give_up:
                return

    is_cut = False
    try:
        for step in verify(rows()):  # type: ignore[arg-type]
            if isinstance(step, Broken):
                is_cut = give_up is not None and monotonic() > give_up
                if step.reason == "erased" and is_cut:  # the entry that tells of it may be further on
                    break
                verifying = f"{program()} journal verify --config {patient.config.path}"
                yield bad(TOPIC, what, "journal_broken", seq=step.seq, reason=step.reason, verify=verifying, file=store.where)
                return
            proven = step
    except SQLAlchemyError as error:
        why = reason_of(error)
        if "no such table" in why or "does not exist" in why:
            yield unknown(TOPIC, what, "journal_none")
        else:
            yield bad(TOPIC, what, "journal_unreadable", reason=why, file=store.where)
        return
    is_cut = is_cut or (give_up is not None and monotonic() > give_up)
    if newest is not None and not is_cut and from_micros(newest) > utc_now() + AHEAD:
        yield bad(TOPIC, what, "journal_ahead", at=from_micros(newest).astimezone().strftime("%Y-%m-%d %H:%M:%S"))
    elif is_cut:
        yield good(TOPIC, what, "journal_partly", proven=proven)
    else:
        yield good(TOPIC, what, "journal_whole", proven=proven)
