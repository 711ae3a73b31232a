"""People: can somebody log in who takes alarms, and does somebody hear them now?"""

from collections.abc import Iterator

from gateway.core.account import AccountRole
from gateway.doctor.finding import Finding, bad, good, unknown
from gateway.doctor.gateway_itself import program
from gateway.doctor.patient import Patient

TOPIC = "people"
DESK = (AccountRole.OPERATOR, AccountRole.SUPERVISOR)


def look(patient: Patient) -> Iterator[Finding]:
    """Accounts of operators, and ears. No names: counts only."""
    console = patient.config.console
    if not (console.enabled and console.accounts):
        return
    accounts = patient.accounts
    add = f"{program()} account add LOGIN --name NAME --role operator --config {patient.config.path}"
    if accounts is None:
        yield unknown(TOPIC, "accounts", "accounts_not_read")
        return
    desk = [one for one in accounts if one.role in DESK and not one.disabled and (one.password or one.external)]
    ready = [one for one in desk if not one.must_change]
    if not desk:
        yield bad(TOPIC, "accounts", "accounts_none", add=add)
        return
    if not ready:
        yield bad(TOPIC, "accounts", "accounts_never_used", count=len(desk), listen=console.listen)
        return
    yield good(TOPIC, "accounts", "accounts_good", count=len(ready))
    running = patient.running
    if running is None or not console.no_ears_s:
        return
    ears = running.ops.get("ears")
    names = running.ops.get("areas")
    if not isinstance(ears, dict):
        return
    deaf = [area for area, count in ears.items() if not count]
    if "" in deaf:
        yield bad(TOPIC, "ears", "ears_none", listen=console.listen)
    elif deaf:
        told = [str(names.get(area, area)) if isinstance(names, dict) else area for area in deaf]
        yield bad(TOPIC, "ears", "ears_missing", areas=", ".join(told))
    else:
        yield good(TOPIC, "ears", "ears_there", count=ears.get("", 0))
