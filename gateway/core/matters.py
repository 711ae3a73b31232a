"""Every matter about which somebody may rule, in one table: the first word of the key → its check (gateway.core.standing)."""

from datetime import datetime

from gateway.core import aid_matters, desk_matters, maintenance, provider_matters, risk_edges, standing
from gateway.core.standing import MATTERS, Ruling
from gateway.core.state import Draft
from gateway.core.territory import Standing
from gateway.errors import Refused

MATTERS.update(
    provider=provider_matters.on_provider,
    frozen=provider_matters.on_frozen,
    blocked=provider_matters.on_blocked,
    grade=provider_matters.on_grade,
    proposal=provider_matters.on_proposal,
    ranking=provider_matters.on_ranking,
    lost=aid_matters.on_lost,
    saturated=aid_matters.on_saturated,
    aid=aid_matters.on_aid,
    guest=aid_matters.on_guest,
    maintenance=maintenance.on_maintenance,
    flood=desk_matters.on_flood,
    shift=desk_matters.on_shift,
    notice=desk_matters.on_notice,
    complaint=desk_matters.on_complaint,
    risk=risk_edges.on_risk,
    risk_seen=risk_edges.on_risk,
    risk_usual=risk_edges.on_risk,
)


def on_ruling(draft: Draft, ruling: Ruling, now: datetime) -> Standing:
    """As gateway.core.standing.on_ruling; guests work in a queue, they decide about nothing else: neither their own stay nor who may work."""
    if aid_matters.is_guest(draft, ruling.actor):
        raise Refused("guest_may_not_rule", 403)
    return standing.on_ruling(draft, ruling, now)
