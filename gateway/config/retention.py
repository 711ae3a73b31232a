"""`[retention]`: how long what tells of people is kept. Days; what is older is erased once a day (gateway.retention)."""

from typing import Annotated

import msgspec

Days = Annotated[int, msgspec.Meta(ge=1, le=36_500)]


class RetentionConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[retention]`. Nothing of an incident is erased before it is closed.

    raw_days       the bytes as they came; the longest time in which somebody asks what a device really sent
    journal_days   what journal entries say: people, devices, facts. Three years: records of elder care services in most districts; ask yours
    incident_days  what closed incidents say of people; their figures (kind, area, times, outcome) stay for the reports
    rejected_days  messages refused, kept for inspection
    seen_days      last signs of devices that speak no more
    at             local time HH:MM of the daily run; "" = only by `gateway purge`
    """

    raw_days: Days = 180
    journal_days: Days = 1095
    incident_days: Days = 1095
    rejected_days: Days = 30
    seen_days: Days = 400
    at: Annotated[str, msgspec.Meta(pattern=r"^((?:[01]\d|2[0-3]):[0-5]\d)?$", examples=["03:40"])] = "03:40"
