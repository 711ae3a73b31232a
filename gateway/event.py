"""The words everyone shares: kinds, severities, positions and the Event, immutable once made.

`KINDS` is the closed list of the event model; a kind that is not in it does not exist.
"""

import os
import time
from datetime import datetime
from enum import StrEnum

import msgspec


class Severity(StrEnum):
    """Words of ITU-T X.733. On the console: critical 危急, major 紧急, minor 重要, warning 一般, none not in the queue."""

    CRITICAL = "critical"
    MAJOR = "major"
    MINOR = "minor"
    WARNING = "warning"
    NONE = "none"

    @property
    def rank(self) -> int:
        """1 (critical) to 5 (none): smaller is worse."""
        return _RANK[self]


_RANK = {severity: rank for rank, severity in enumerate(Severity, 1)}


class Certainty(StrEnum):
    """CAP 1.2, element certainty."""

    OBSERVED = "observed"
    LIKELY = "likely"
    POSSIBLE = "possible"
    UNLIKELY = "unlikely"


class Phase(StrEnum):
    """What the device says about its subject. `clear` and `repeat` are facts; the incident decides what they mean."""

    RAISE = "raise"
    REPEAT = "repeat"
    CLEAR = "clear"
    TEST = "test"
    STATE = "state"


class Group(StrEnum):
    PERSON = "person"
    ENVIRONMENT = "environment"
    DEVICE = "device"
    LINE = "line"
    TELEPHONE = "telephone"
    LIFE = "life"
    PEOPLE = "people"
    SUBJECTLESS = "subjectless"
    SERVICE = "service"
    MACHINE = "machine"


class Kind(StrEnum):
    # person alarms
    SOS = "sos"
    MEDICAL = "medical"
    DURESS = "duress"
    FALL = "fall"
    FALL_SUSPECTED = "fall_suspected"
    HEART_RATE_ABNORMAL = "heart_rate_abnormal"
    BREATHING_ABNORMAL = "breathing_abnormal"
    TEMP_ABNORMAL = "temp_abnormal"
    INACTIVITY = "inactivity"
    BED_EXIT = "bed_exit"
    WANDERING = "wandering"
    MISSED_CHECKIN = "missed_checkin"
    COLLISION = "collision"
    GENERAL = "general"
    HELP = "help"
    # environment
    FIRE = "fire"
    SMOKE = "smoke"
    CO = "co"
    GAS = "gas"
    WATER_LEAK = "water_leak"
    TEMPERATURE = "temperature"
    INTRUSION = "intrusion"
    # device
    POWER_CUT = "power_cut"
    TAMPER = "tamper"
    DEVICE_REMOVED = "device_removed"
    FAULT = "fault"
    LOW_BATTERY = "low_battery"
    OFFLINE = "offline"
    ONLINE = "online"
    POWER_BACK = "power_back"
    # line
    LINE_LOST = "line_lost"
    LINE_RESTORED = "line_restored"
    GAP = "gap"
    SELF_TEST_MISSED = "self_test_missed"  # synthetic alarms of ours do not come back (gateway.self_test)
    PRESS_DUE = "press_due"  # nobody has pressed a device that is to be tried now and then
    # telephone
    CALL_OFFERED = "call_offered"
    CALL_RINGING = "call_ringing"
    CALL_TRANSFERRED = "call_transferred"
    CALL_ENDED = "call_ended"
    CALL_ANSWERED = "call_answered"
    CALL_ABANDONED = "call_abandoned"
    CALL_MISSED = "call_missed"
    CALL_FAILED = "call_failed"
    # signs of life
    HEARTBEAT = "heartbeat"
    LOCATION = "location"
    TELEMETRY = "telemetry"
    MOTION = "motion"
    CONTACT_OPEN = "contact_open"
    CONTACT_CLOSED = "contact_closed"
    CHECKIN = "checkin"
    BUTTON = "button"
    VIBRATION = "vibration"
    OVERSPEED = "overspeed"
    GEOFENCE_ENTER = "geofence_enter"
    GEOFENCE_EXIT = "geofence_exit"
    JOIN = "join"
    # people
    ACKNOWLEDGE = "acknowledge"
    RELEASE = "release"
    ASSIGN = "assign"
    DISPATCH = "dispatch"
    WITHDRAW = "withdraw"
    ACCEPT = "accept"
    DECLINE = "decline"
    EN_ROUTE = "en_route"
    ARRIVED = "arrived"
    DONE = "done"
    ESCALATE = "escalate"
    MERGE = "merge"
    UNMERGE = "unmerge"
    SHELVE = "shelve"
    UNSHELVE = "unshelve"
    NOTE = "note"
    RESOLVE = "resolve"
    CALL_BACK = "call_back"
    COMPLAIN = "complain"
    HAND_OVER = "hand_over"
    VIEWED = "viewed"
    REVEAL = "reveal"
    IDENTIFY = "identify"
    STEP = "step"
    DUTY = "duty"
    DIAL = "dial"
    HANG_UP = "hang_up"
    TRANSFER = "transfer"
    ANSWER = "answer"  # a ringing call was sent to the telephone of who answers it
    RECORD = "record"  # what a caller of whom nobody knows anything says of themselves
    ABSENCE = "absence"
    ABSENCE_OVER = "absence_over"
    HOLD = "hold"
    RESUME = "resume"
    WAIVE = "waive"
    HANDLE = "handle"
    RULING = "ruling"
    ACCESS = "access"  # logged in, out, refused, locked, unlocked: facts.what says it
    ACCOUNT = "account"  # an account was made or changed
    SHIFT = "shift"  # one shift has handed over to the next
    SEARCHED = "searched"
    EXPORTED = "exported"
    CORRECTED = "corrected"  # the register, by a person
    LISTENED = "listened"  # to a recording
    BROADCAST = "broadcast"  # a supervisor to everybody on duty, or to stations
    # an ordinary service is wanted (the N of 1+N, domain 1.5)
    SERVICE_REQUEST = "service_request"
    # no subject known
    CANCEL = "cancel"
    RESTORE = "restore"
    TEST = "test"
    # decided by the machine itself (deadlines, deliveries, start and stop), so that the journal is all that changed anything
    SENT = "sent"
    FAILED = "failed"
    EXPIRED = "expired"
    REMIND = "remind"
    STARTED = "started"
    CLOCK_STEP = "clock_step"
    INFORMED = "informed"
    AUDIT = "audit"
    PURGED = "purged"


class KindFacts(msgspec.Struct, frozen=True):
    """One row of the table of kinds. `ends`: may the field's own `clear` end it (else a person only)?"""

    group: Group
    severity: Severity
    certainty: Certainty = Certainty.OBSERVED
    ends: bool = False
    journalled: bool = True


def _table() -> dict[Kind, KindFacts]:
    critical, major, minor, warning, none = Severity
    observed, likely, possible, _ = Certainty
    rows: list[tuple[Group, str, KindFacts]] = []

    def add(group: Group, names: str, severity: Severity, certainty: Certainty = observed, *, ends: bool = False, journalled: bool = True) -> None:
        rows.append((group, names, KindFacts(group, severity, certainty, ends, journalled)))

    add(Group.PERSON, "sos medical duress", critical)
    add(Group.PERSON, "fall", critical, likely)
    add(Group.PERSON, "fall_suspected", major, possible, ends=True)
    add(Group.PERSON, "heart_rate_abnormal breathing_abnormal temp_abnormal general", major, possible)
    add(Group.PERSON, "inactivity bed_exit wandering missed_checkin", major, likely, ends=True)
    add(Group.PERSON, "collision", major, likely)
    add(Group.PERSON, "help", minor)
    add(Group.ENVIRONMENT, "fire smoke co gas", critical)
    add(Group.ENVIRONMENT, "water_leak", major, ends=True)
    add(Group.ENVIRONMENT, "temperature intrusion", major, likely, ends=True)
    add(Group.DEVICE, "power_cut", major, ends=True)
    add(Group.DEVICE, "tamper device_removed fault offline", minor, ends=True)
    add(Group.DEVICE, "low_battery", warning, ends=True)
    add(Group.DEVICE, "online power_back", none)
    add(Group.LINE, "line_lost self_test_missed", major, ends=True)
    add(Group.LINE, "press_due", warning, ends=True)
    add(Group.LINE, "line_restored gap", none)
    add(Group.TELEPHONE, "call_offered call_ringing call_transferred call_ended", none)
    add(Group.TELEPHONE, "call_answered call_failed", minor)
    add(Group.TELEPHONE, "call_abandoned call_missed", major)
    add(
        Group.LIFE,
        "heartbeat location telemetry motion contact_open contact_closed checkin button vibration overspeed geofence_enter geofence_exit join",
        none,
        journalled=False,
    )
    add(
        Group.PEOPLE,
        "acknowledge release assign dispatch withdraw accept decline en_route arrived done escalate merge unmerge shelve unshelve"
        " note resolve call_back complain hand_over viewed reveal identify step duty dial hang_up transfer answer record absence absence_over"
        " hold resume waive handle ruling access account shift searched exported corrected listened broadcast",
        none,
    )
    add(Group.SUBJECTLESS, "cancel restore test", none)
    add(Group.SERVICE, "service_request", warning)
    add(Group.MACHINE, "sent failed expired remind started clock_step informed audit purged", none)
    return {Kind(name): facts for _, names, facts in rows for name in names.split()}


KINDS: dict[Kind, KindFacts] = _table()
ALARM_KINDS = frozenset(kind for kind, facts in KINDS.items() if facts.group in (Group.PERSON, Group.ENVIRONMENT))


class Position(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A place on the earth: WGS-84 degrees, converted at the door. `source` is gnss, network, reported, home or area.

    datum: what the device sent: wgs84, gcj02, bd09, or unknown: then nothing was converted, and accuracy_m is 700 at least.
    """

    lat: float
    lon: float
    source: str = "gnss"
    accuracy_m: float | None = None
    fixed_at: datetime | None = None
    datum: str = "wgs84"


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One observed fact. Absent means absent, never 0. Times are aware UTC.

    kind, phase   closed lists above; kind_raw is the vendor's own code
    line, device  where it came from; device is the address as the protocol has it
    dedup         the message's identity within its line, or None when the protocol gives none (invariant 3)
    severity      None, or how bad a `general` alarm of this device can be at most; of other kinds it says nothing
    late          None, or why it is history (backfill, replayed, queued): history never raises a live alarm by itself
    edge          None, or the thing whose state this tells (RAISE: it is so, CLEAR: it is not): only a change is news. edge_s: seconds after
                  which the same state is news again, None for never
    firmware      None, or the version that the device says it runs
    detail        protocol facts worth showing (zone, code, call, dialled number); JSON values only
    raw           the bytes, kept for proof; not part of the JSON form
    """

    kind: Kind
    line: str
    received_at: datetime
    occurred_at: datetime
    phase: Phase = Phase.RAISE
    device: str | None = None
    dedup: str | None = None
    kind_raw: str | None = None
    person: str | None = None
    time_source: str = "received"
    time_reason: str | None = None
    integrity: str = "unverified"
    certainty: Certainty | None = None
    severity: Severity | None = None
    position: Position | None = None
    battery_pct: float | None = None
    battery_mv: int | None = None
    rssi_dbm: float | None = None
    firmware: str | None = None
    vitals: dict[str, float] = {}
    late: str | None = None
    edge: str | None = None
    edge_s: float | None = None
    detail: dict[str, object] = {}
    raw: bytes = b""

    @property
    def is_alarm(self) -> bool:
        """An alarm is a person-alarm or environment event that is news: not a clear, not a test, not history."""
        return self.kind in ALARM_KINDS and self.phase in (Phase.RAISE, Phase.REPEAT) and self.late is None


def new_id() -> str:
    """A UUIDv7 (RFC 9562, 5.7) as 32 hex digits: sorts by time of making, unique across machines."""
    random = int.from_bytes(os.urandom(10))
    value = (time.time_ns() // 1_000_000) << 80 | 0x7 << 76 | (random >> 68) << 64 | 0b10 << 62 | random & (1 << 62) - 1
    return f"{value:032x}"
