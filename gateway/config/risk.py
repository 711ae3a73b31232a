"""`[risk]`: from what on the stream of incidents counts as a warning (domain 6.4); gateway.core.risk_rules says why these numbers."""

from typing import Annotated

import msgspec

from gateway.config.words import Seconds

Count = Annotated[int, msgspec.Meta(ge=0, le=100_000)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Times = Annotated[float, msgspec.Meta(ge=0, le=1000)]


class RiskConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[risk]`. 0 switches a rule off.

    look_s                      how often it is looked; nothing of it is in the way of an alarm
    falls_week, falls_month     of one person in 7 or 30 days, those that were false alarms left out
    near_falls_week             suspected falls of one person in 7 days
    calls_week                  calls for help of one person in 7 days, and three times as many as they usually make
    battery_days                so soon a battery is empty if it goes on as in the last days
    low_devices, low_share      batteries of one model that are low: so many, and so large a share of those that tell
    refused_least, refused_share  of the last 20 orders to one responder declined or left unanswered
    late_least, late_share      of the arrivals of one responder in 30 days later than fifteen minutes
    full_min                    so long a station has carried as many orders as it can
    silent_gaps                 a line is silent for as long as so many messages usually take at that hour
    flood_devices, flood_times  alarms of one model in a day: from so many devices, and so many times what is usual
    false_least, false_share    of the closed alarms of one model in 30 days that were false
    slow_times                  taking an alarm lasts so many times what it lasted in the two weeks before
    """

    enabled: bool = True
    look_s: Seconds = 60
    falls_week: Count = 2
    falls_month: Count = 3
    near_falls_week: Count = 5
    calls_week: Count = 10
    battery_days: Times = 7
    low_devices: Count = 5
    low_share: Share = 0.2
    refused_least: Count = 5
    refused_share: Share = 0.3
    late_least: Count = 5
    late_share: Share = 0.3
    full_min: Times = 30
    silent_gaps: Times = 20
    flood_devices: Count = 3
    flood_times: Times = 5
    false_least: Count = 10
    false_share: Share = 0.5
    slow_times: Times = 2
