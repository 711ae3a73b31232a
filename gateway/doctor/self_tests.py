"""The gateway's self-test: does what it sends through each line come back?"""

from collections.abc import Iterator

from gateway.doctor.finding import Finding, bad, good, note
from gateway.doctor.patient import Patient

TOPIC = "self-test"
MISSED = ("missed", "failing")


def look(patient: Patient) -> Iterator[Finding]:
    """A finding for each point that is missed, or one for all. None where no gateway answers: that is told already."""
    for point in patient.part.missed if patient.part is not None else ():
        yield bad(TOPIC, point, "self_test_missed_here", listen=patient.config.bus.listen)
    told = patient.running.ops.get("self_test") if patient.running is not None else None
    if not isinstance(told, dict):
        return
    if told.get("state") == "off":
        yield note(TOPIC, TOPIC, "self_test_off", file=patient.config.path)
        return
    points = [one for one in told.get("points", ()) if isinstance(one, dict)]
    missed = [one for one in points if one.get("state") in MISSED]
    for one in missed:
        facts = {"line": one.get("line"), "missing": one.get("missing") or "-", "count": one.get("in_a_row", "?"), "reason": one.get("detail") or "-"}
        yield bad(TOPIC, str(one.get("name")), "self_test_missed", **facts)
    if not missed:
        yield good(TOPIC, TOPIC, "self_test_good", count=len(points))
