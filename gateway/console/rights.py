"""Who may ask for what: one row a route. A route without a row does not start (console design, 8)."""

import msgspec

from gateway.core.account import AccountRole

OPERATOR, SUPERVISOR, OPS, ADMIN, AUDITOR, WALL, CITIZEN, LOCAL = AccountRole

DESK = frozenset((OPERATOR, SUPERVISOR, LOCAL))  # who handles incidents
LEAD = frozenset((SUPERVISOR, LOCAL))  # who decides about others' work
TECHNICAL = frozenset((OPERATOR, SUPERVISOR, OPS, LOCAL))
ACCOUNTS = frozenset((ADMIN, LOCAL))
AUDIT = frozenset((AUDITOR, LOCAL))
EXPORTS = frozenset((SUPERVISOR, AUDITOR, LOCAL))
FIGURES = frozenset((OPERATOR, SUPERVISOR, OPS, AUDITOR, WALL, CITIZEN, LOCAL))
EVERYBODY = frozenset(AccountRole)
CHANGES_OF_ACCOUNTS = ("change", "disable", "enable", "reset_password", "set_password", "reset_totp", "unlock", "sessions", "end_session")
# Nobody in particular: the page itself, and machines that prove themselves by a signature of their own.
OPEN: frozenset[AccountRole] | None = None


class Rule(msgspec.Struct, frozen=True):
    """What a route asks of who comes.

    roles     who may; None: no log-in is asked
    on_duty   only somebody who has come on duty
    incident  its {id} is an incident, which must lie in the reader's areas (or in their hands)
    locked    also while the screen is locked, and before a first password was changed
    near      without a log-in from this machine, else with one: what programs of the operations team read
    signed    proves itself by a signature or secret of its own; no page, so neither origin nor CSRF token is asked
    """

    roles: frozenset[AccountRole] | None
    on_duty: bool = False
    incident: bool = False
    locked: bool = False
    near: bool = False
    signed: bool = False


_PAGE = Rule(OPEN)
_NEAR = Rule(frozenset((OPS, ADMIN, LOCAL)), near=True, locked=True)
_SIGNED = Rule(OPEN, signed=True)
_READ = Rule(DESK)
_ACT = Rule(DESK, on_duty=True)
_LEAD = Rule(LEAD, on_duty=True)
_OWN = Rule(EVERYBODY, locked=True)
_INCIDENT = Rule(DESK, incident=True)
_ON_INCIDENT = Rule(DESK, on_duty=True, incident=True)

RULES: dict[str, Rule] = {
    "GET /": _PAGE,
    "GET /healthz": _PAGE,
    "GET /readyz": _NEAR,
    "GET /metrics": _NEAR,
    "GET /api/v1/openapi.json": _PAGE,
    "GET /api/v1/session": _PAGE,
    "GET /api/v1/oidc/start": _PAGE,
    "GET /api/v1/oidc/return": _PAGE,
    "POST /api/v1/duty": Rule(EVERYBODY),
    "POST /api/v1/login": _PAGE,
    "POST /api/v1/logout": _OWN,
    "POST /api/v1/lock": _OWN,
    "POST /api/v1/unlock": _OWN,
    "POST /api/v1/password": _OWN,  # the first one, too, without which nothing else is shown; not while the screen is locked
    "POST /api/v1/pin": Rule(EVERYBODY),
    "GET /api/v1/accounts": Rule(ACCOUNTS),
    "POST /api/v1/accounts": Rule(ACCOUNTS),
    **{f"POST /api/v1/accounts/{what}": Rule(ACCOUNTS) for what in CHANGES_OF_ACCOUNTS},
    "POST /api/v1/totp": Rule(EVERYBODY),
    "GET /api/v1/changes": _OWN,
    "WS /api/v1/feed": _OWN,
    "GET /api/v1/lines": Rule(TECHNICAL),
    "GET /api/v1/devices": Rule(TECHNICAL),
    "GET /api/v1/devices/{line}/{address:path}": Rule(TECHNICAL),
    "GET /api/v1/providers": _READ,
    "GET /api/v1/providers/{id}": _READ,
    **{f"POST /api/v1/providers/{{id}}/{what}": _LEAD for what in ("state", "freeze", "unfreeze", "block", "unblock", "grade", "proposal")},
    "GET /api/v1/requests": _READ,
    "POST /api/v1/requests": _ACT,
    "GET /api/v1/services": _READ,
    "GET /api/v1/watch": _READ,
    "POST /api/v1/watch/{person}/absence": _ACT,
    "POST /api/v1/watch/{person}/absence_over": _ACT,
    "POST /api/v1/watch/{person}/family_link": _ACT,
    "POST /api/v1/persons": _ACT,
    "POST /api/v1/register/search": _ACT,
    "GET /api/v1/register/list/{kind}": _READ,
    "GET /api/v1/register/records/{kind}/{key:path}": _READ,
    "POST /api/v1/register/records/{kind}/{key:path}": _ACT,
    "GET /api/v1/register/history/{kind}/{key:path}": _READ,
    # of these the record must lie in the reader's areas, and an operator may correct some fields only (register_views.OPERATORS)
    **{f"POST /api/v1/register/{what}": _ACT for what in ("correct", "confirm", "take_back")},
    **{f"POST /api/v1/register/{what}": _LEAD for what in ("new", "remove", "decide", "import", "import/take", "export")},
    "GET /api/v1/register/conflicts": _READ,
    "GET /api/v1/register/quality": _READ,
    "GET /api/v1/register/quality/{what}": _READ,
    "GET /api/v1/register/facets": _READ,
    "GET /api/v1/incidents/{id}/decisions": _INCIDENT,
    "GET /api/v1/service-levels": Rule(FIGURES),
    "GET /api/v1/map": _READ,
    "GET /api/v1/map/incidents": _READ,
    "GET /api/v1/incidents/{id}/map": _INCIDENT,
    "GET /tiles/{layer}/{z}/{x}/{y}": _READ,
    "POST /api/v1/platforms/{platform}/incidents": _SIGNED,
    "GET /api/v1/platforms/{platform}/incidents/{external}": _SIGNED,
    "PUT /api/v1/platforms/{platform}/persons/{external}": _SIGNED,
    "GET /api/v1/upward": Rule(frozenset((SUPERVISOR, OPS, LOCAL))),
    "GET /api/v1/journal-feed": Rule(frozenset((OPS, LOCAL))),
    "GET /api/v1/aid": _READ,
    "POST /api/v1/aid/{matter}/{subject:path}": _LEAD,
    "POST /api/v1/search": _READ,
    "POST /api/v1/history": _READ,
    "GET /api/v1/incidents/{id}/history": _INCIDENT,
    "POST /api/v1/incidents/{id}/print": _INCIDENT,
    "GET /api/v1/incidents/{id}/recordings": _INCIDENT,
    "POST /api/v1/incidents/{id}/listen": _INCIDENT,
    "GET /api/v1/recordings/{ticket}": _READ,
    "GET /api/v1/exports": Rule(EXPORTS),
    "POST /api/v1/exports": Rule(EXPORTS),
    "GET /api/v1/exports/{ticket}": Rule(EXPORTS),
    "GET /api/v1/audit": Rule(AUDIT),
    "POST /api/v1/audit": Rule(AUDIT),
    "GET /api/v1/audit/verify": Rule(AUDIT),
    "POST /api/v1/audit/verify": Rule(AUDIT),
    "POST /api/v1/purge": Rule(ACCOUNTS, on_duty=True),
    "GET /api/v1/call-backs": _READ,
    "POST /api/v1/hand-overs": _SIGNED,
    "GET /api/v1/desk": Rule(LEAD),
    "POST /api/v1/incidents/bulk": _ACT,  # each id is looked at by itself
    "POST /api/v1/flood": _LEAD,
    "GET /api/v1/maintenance": Rule(TECHNICAL),
    "POST /api/v1/maintenance": Rule(frozenset((SUPERVISOR, OPS, LOCAL))),
    "GET /api/v1/shift": _READ,
    "POST /api/v1/shift": _ACT,
    "POST /api/v1/shift/{id}/confirm": _ACT,
    "POST /api/v1/shift/{id}/cancel": _ACT,
    "GET /api/v1/notices": _READ,
    "POST /api/v1/notices": _LEAD,
    "POST /api/v1/notices/{id}/acknowledge": _ACT,
    "GET /api/v1/kpi": Rule(EXPORTS),
    "GET /api/v1/outcomes": Rule(FIGURES),
    "POST /api/v1/complaints": Rule(frozenset((CITIZEN, SUPERVISOR, LOCAL))),
    "POST /api/v1/complaints/{id}/handle": _LEAD,
    "GET /api/v1/ops": Rule(frozenset((SUPERVISOR, OPS, LOCAL))),
    "GET /api/v1/shards": Rule(frozenset((SUPERVISOR, OPS, LOCAL))),
    "GET /api/v1/self-test": Rule(frozenset((SUPERVISOR, OPS, LOCAL))),
    "POST /api/v1/self-test": Rule(frozenset((SUPERVISOR, OPS, LOCAL))),
    "GET /api/v1/risks": Rule(frozenset((SUPERVISOR, OPS, LOCAL))),  # of persons only to those who handle incidents (risk_views)
    "POST /api/v1/risks/seen": Rule(frozenset((SUPERVISOR, OPS, LOCAL))),
    "GET /api/v1/incidents/{id}": _INCIDENT,
    "GET /api/v1/incidents/{id}/cap": _INCIDENT,
    "POST /api/v1/incidents/{id}/reveal": _ACT,  # in an emergency also of a foreign area; the route looks at whose it is
    "POST /api/v1/incidents/{id}/dial": _ON_INCIDENT,
    "POST /api/v1/calls/{key}/answer": _ACT,
    "POST /api/v1/calls/{key}/hang_up": _ACT,
    "POST /api/v1/calls/{key}/transfer": _ACT,
    "POST /api/v1/incidents/{id}/{action}": _ON_INCIDENT,
    "POST /api/v1/replies": _SIGNED,
    "POST /api/v1/texts": _SIGNED,
    "GET /api/v1/spare/{what}": _SIGNED,  # the token of spare.token_file, and never in the clear: it is the whole database
}


def rule_of(method: str, path: str) -> Rule:
    """The row of a route. Raises LookupError: somebody added a route without saying who may use it."""
    rule = RULES.get(f"{method} {path}")
    if rule is None:
        raise LookupError(f"{method} {path} has no row in gateway.console.rights.RULES; write who may use it")
    return rule
