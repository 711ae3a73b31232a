"""Event codes of Contact ID (SIA DC-05): what each three-digit code means in our words, and what a code means that nobody listed.

Source: SIA DC-05-1999.09, code table; categories and zone or user after the protocol's fact sheet.
"""

import re
from typing import NamedTuple

from gateway.event import Kind

# The qualifier as a digit, and the letters that Sur-Gard receivers print in its place.
QUALIFIERS = {"1": "1", "3": "3", "6": "6", "E": "1", "R": "3", "P": "6"}

_PAYLOAD = re.compile(r"([136ERP])([0-9B-F]{3}) ?([0-9B-F]{2}) ?([0-9B-F]{3})")


class Code(NamedTuple):
    """One event code.

    category  E emergency, V danger from the surroundings, T technical, S supervision and tests, C call control, O other
    by_user   the last field of the block numbers a user, not a zone
    silent    nothing may be heard or seen in the home
    urgent    a technician must not wait: a pendant may be dead, or alarms may not come through
    """

    kind: Kind
    category: str
    name: str
    by_user: bool = False
    silent: bool = False
    urgent: bool = False


class Payload(NamedTuple):
    """What every carrier brings of a block: qualifier 1 (new, or opening), 3 (restore, or closing), 6 (still present); digits as sent."""

    qualifier: str
    code: str
    group: str
    number: str


def read_payload(text: str) -> Payload | None:
    """`QXYZ GG ZZZ`, with or without its spaces; Q may be E, R or P. None when the digits are not those."""
    found = _PAYLOAD.fullmatch(text)
    return Payload(QUALIFIERS[found[1]], found[2], found[3], found[4]) if found else None


def code_of(code: str) -> Code:
    """The row of a code. One that is not in the table is sorted by its first digit, and is never less than that class."""
    return CODES.get(code) or Code(*_CLASSES.get(code[:1], (Kind.GENERAL, "E")), f"unknown code {code}")


# 1 alarm, 2 supervisory, 3 trouble, 4 opening and closing, 5 disabled or bypassed, 6 tests; whatever else may be an alarm.
_CLASSES = {
    "1": (Kind.GENERAL, "E"),
    "2": (Kind.FAULT, "T"),
    "3": (Kind.FAULT, "T"),
    "4": (Kind.TELEMETRY, "O"),
    "5": (Kind.TELEMETRY, "O"),
    "6": (Kind.TEST, "S"),
}

# Of a list like "100 medical; 101 personal emergency" every entry has the kind and category of its row. A "u" after the code: its number
# is a user; "s": silent; "!": urgent.
# Openings and closings are telemetry, not a sign of life of the person: whoever knows a code (a carer, a neighbour) may have typed it, and
# an automatic closing is nobody's doing. Where it is known to be the person, `codes = {"401" = "checkin"}` says so.
# 642 is a sign of life: to say that this user came home is its very purpose. 147, 355, 381: a thing is not heard any more.
# 646 and 662 are in no common table; in two vendors' tables they say that more help is needed, and as unknown tests nobody would look.
# 606 is no alarm: the block before or after it is; it says that speech follows.
_ROWS: tuple[tuple[Kind, str, str], ...] = (
    (Kind.MEDICAL, "E", "100 medical"),
    (Kind.SOS, "E", "101 personal emergency; 120 panic; 123 audible panic"),
    (Kind.MISSED_CHECKIN, "E", "102 failure to report in"),
    (Kind.FIRE, "E", "110 fire; 112 combustion; 113 water flow; 114 heat; 115 pull station; 117 flame; 118 near alarm of fire"),
    (Kind.SMOKE, "E", "111 smoke; 116 duct"),
    (Kind.DURESS, "E", "121us duress; 122s silent panic; 124s duress, access granted; 125s duress, egress granted"),
    (
        Kind.INTRUSION,
        "O",
        "130 burglary; 131 perimeter; 132 interior; 133 24-hour (safe); 134 entry or exit; 135 day or night; 136 outdoor;"
        " 138 near alarm of burglary; 139 intrusion verifier; 146s silent burglary; 155 foil break; 423 forced access",
    ),
    (Kind.GENERAL, "E", "140 general alarm; 646 more help needed (some vendors); 662 help still needed (some vendors)"),
    (Kind.GENERAL, "V", "150 24-hour non-burglary; 157 low bottled gas; 161 loss of air flow; 163 tank level"),
    (Kind.GAS, "E", "151 gas"),
    (Kind.TEMPERATURE, "V", "152 refrigeration; 153 loss of heat; 158 high temperature; 159 low temperature"),
    (Kind.WATER_LEAK, "V", "154 water leakage"),
    (Kind.CO, "E", "162 carbon monoxide"),
    (Kind.TAMPER, "T", "137 tamper; 144 sensor tamper; 145 expansion module tamper; 341 expansion module tamper; 383 sensor tamper"),
    (Kind.POWER_CUT, "T", "301 mains loss"),
    (Kind.LOW_BATTERY, "T", "302 low system battery; 311 battery missing or dead; 338 expansion module low battery; 384 RF transmitter low battery"),
    (
        Kind.OFFLINE,
        "T",
        "147 sensor supervision failure; 355 loss of radio supervision; 356 loss of central polling; 381! loss of supervision, RF sensor;"
        " 382 loss of supervision, wired module",
    ),
    (Kind.INACTIVITY, "T", "391! sensor watch failure"),
    (Kind.INACTIVITY, "E", "641 senior-watch trouble"),
    (Kind.INACTIVITY, "S", "654! system inactivity"),
    (
        Kind.FAULT,
        "T",
        "141 polling loop open; 142 polling loop short; 143 expansion module failure; 156 day trouble; 200 fire supervisory; 201 low water pressure;"
        " 202 low CO2; 203 gate valve sensor; 204 low water level; 205 pump activated; 206 pump failure; 300 system trouble; 303 RAM checksum bad;"
        " 304 ROM checksum bad; 305 system reset; 307 self-test failure; 308 system shutdown; 309 battery test failed; 310 ground fault;"
        " 312 power supply overcurrent; 320 sounder or relay; 321 bell 1; 322 bell 2; 323 alarm relay; 324 trouble relay; 325 reversing relay;"
        " 326 notification appliance 3; 327 notification appliance 4; 330 system peripheral trouble; 331 polling loop open; 332 polling loop short;"
        " 333 expansion module failure; 334 repeater failure; 335 printer out of paper; 336 printer failure; 337 expansion module DC loss;"
        " 339 expansion module reset; 342 expansion module AC loss; 343 expansion module self-test failure; 344! RF jamming;"
        " 350 communication trouble; 351 telephone line 1 fault; 352 telephone line 2 fault; 353 long-range radio fault;"
        " 354! failure to communicate event; 357 long-range radio antenna; 370 protection loop; 371 protection loop open;"
        " 372 protection loop short; 373 fire trouble; 374 exit error; 375! panic zone trouble; 376! hold-up zone trouble; 377 swinger trouble;"
        " 378 cross-zone trouble; 380 sensor trouble; 385 smoke detector too sensitive; 386 smoke detector not sensitive enough;"
        " 387 intrusion detector too sensitive; 388 intrusion detector not sensitive enough; 389 sensor self-test failure;"
        " 392 drift compensation error; 393 maintenance alert; 427 door monitor trouble; 428 exit request trouble; 432 access relay failure;"
        " 551! dialler disabled; 552! radio transmitter disabled; 571 fire bypass; 572 24-hour zone bypass; 616 service request;"
        " 624 event log overflow; 626 time or date inaccurate",
    ),
    (Kind.CANCEL, "O", "406u cancel by user"),
    (Kind.CHECKIN, "O", "642u latch-key supervision"),
    (
        Kind.TELEMETRY,
        "O",
        "400u opening or closing; 401u opening or closing by user; 402u group opening or closing; 403u automatic opening or closing;"
        " 404u late to open or close; 405u deferred opening or closing; 407u remote arming; 408u quick arm; 409u keyswitch opening or closing;"
        " 411u callback request; 412u successful access; 413u unsuccessful access; 414u system shutdown command; 415u dialler shutdown command;"
        " 416 successful upload; 421u access denied; 422u access by user; 424u egress denied; 425u egress granted; 426 door propped open;"
        " 429u access program mode entered; 430u access program mode left; 431u access threat level changed; 433 exit request shunt;"
        " 434 door monitor shunt; 441u armed stay; 442u keyswitch armed stay; 450u exception opening or closing; 451u early opening or closing;"
        " 452u late opening or closing; 453u failed to open; 454u failed to close; 455u automatic arming failed; 456u partial arm;"
        " 457u exit error by user; 458u user on premises; 459u recent closing; 461 wrong code entered; 462u legal code entered;"
        " 463u re-armed after alarm; 464u automatic arming extended; 465 panic alarm reset; 466u service on or off premises;"
        " 501 access reader disabled; 520 sounder or relay disabled; 521 bell 1 disabled; 522 bell 2 disabled; 523 alarm relay disabled;"
        " 524 trouble relay disabled; 525 reversing relay disabled; 526 notification appliance 3 disabled; 527 notification appliance 4 disabled;"
        " 531 module added; 532 module removed; 553 remote access disabled; 573 burglary bypass; 574u group bypass;"
        " 575 swinger bypass; 576 access zone shunt; 577 access point bypass; 609 video transmitter active; 652u reserved; 653u reserved",
    ),
    (
        Kind.TELEMETRY,
        "T",
        "306 programming changed; 313u engineer reset; 570 zone bypass; 621 event log reset; 622 event log half full; 623 event log nearly full;"
        " 625u time or date reset; 627 program mode entered; 628 program mode left; 629 event log marker; 630 schedule changed;"
        " 631 exception schedule changed; 632 access schedule changed",
    ),
    (Kind.TELEMETRY, "C", "605 status report to follow; 606 listen-in to follow"),
    (
        Kind.TEST,
        "S",
        "601 manual test; 602 periodic test; 603 periodic RF transmission; 604u fire test; 607u walk-test mode;"
        " 608! periodic test, system trouble present; 611 point tested; 612 point not tested; 613 intrusion zone walk-tested;"
        " 614 fire zone walk-tested; 615 panic zone walk-tested",
    ),
)


def _table() -> dict[str, Code]:
    codes: dict[str, Code] = {}
    for kind, category, entries in _ROWS:
        for entry in entries.split(";"):
            head, _, name = entry.strip().partition(" ")
            code, marks = head[:3], head[3:]
            assert code not in codes, code
            codes[code] = Code(kind, category, name, "u" in marks, "s" in marks, "!" in marks)
    return codes


CODES: dict[str, Code] = _table()
