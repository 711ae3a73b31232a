"""Two-letter event codes of the SIA format (DC-03): what each means in our words, and what a code means that nobody listed.

Most codes are a letter for the type of zone and a letter for what became of it; the rest stand alone.
Source: SIA DC-03, code table; names as in the protocol's fact sheet.
"""

from typing import NamedTuple

from gateway.event import Kind, Phase


class SiaCode(NamedTuple):
    """One event code. by_user: its address numbers a user, not a zone; silent: nothing may be heard or seen in the home."""

    kind: Kind
    phase: Phase
    name: str
    by_user: bool = False
    silent: bool = False


def sia_code_of(code: str) -> SiaCode:
    """The row of a code. One that is not in the table may be an alarm; only what ends like a restoral is not taken for one."""
    known = SIA_CODES.get(code)
    if known is not None:
        return known
    return SiaCode(Kind.RESTORE if code[1:] in ("H", "J", "R") else Kind.GENERAL, Phase.RAISE, f"unknown code {code}")


_TYPES: dict[str, tuple[Kind, str]] = {
    "B": (Kind.INTRUSION, "burglary"),
    "F": (Kind.FIRE, "fire"),
    "G": (Kind.GAS, "gas"),
    "H": (Kind.DURESS, "hold-up"),
    "K": (Kind.FIRE, "heat"),
    "M": (Kind.MEDICAL, "medical"),
    "P": (Kind.SOS, "panic"),
    "Q": (Kind.SOS, "emergency"),
    "S": (Kind.FIRE, "sprinkler"),
    "T": (Kind.TAMPER, "tamper"),
    "U": (Kind.GENERAL, "untyped zone"),
    "W": (Kind.WATER_LEAK, "water"),
    "Z": (Kind.TEMPERATURE, "freeze"),
}

# second letter -> (kind, None for that of the zone's type; phase; name)
_ENDS: dict[str, tuple[Kind | None, Phase, str]] = {
    "A": (None, Phase.RAISE, "alarm"),
    "H": (None, Phase.CLEAR, "alarm restored"),
    "R": (None, Phase.CLEAR, "restoral"),
    "T": (Kind.FAULT, Phase.RAISE, "trouble"),
    "J": (Kind.FAULT, Phase.CLEAR, "trouble restored"),
    "S": (Kind.FAULT, Phase.RAISE, "supervisory"),
    "B": (Kind.TELEMETRY, Phase.STATE, "bypass"),
    "U": (Kind.TELEMETRY, Phase.STATE, "unbypass"),
    "X": (Kind.TEST, Phase.TEST, "test"),
}

# What stands alone; "u" after the code: its address is a user. Openings and closings are no sign of life of the person: see contact_id_codes.
_ROWS: tuple[tuple[Kind, Phase, str], ...] = (
    (Kind.GENERAL, Phase.RAISE, "AA alarm, panel substitution; UG unverified event, untyped; UX undefined alarm"),
    (Kind.INTRUSION, Phase.RAISE, "BG unverified burglary; BM burglary cross point; BV burglary verified; DF door forced; EA exit alarm"),
    (Kind.FIRE, Phase.RAISE, "FG unverified fire; FM fire cross point"),
    (Kind.MISSED_CHECKIN, Phase.RAISE, "JKu latch-key alert"),  # the user's code was not entered in its time
    (Kind.INACTIVITY, Phase.RAISE, "NA no activity"),
    (Kind.INACTIVITY, Phase.CLEAR, "NS activity resumed"),
    (Kind.POWER_CUT, Phase.RAISE, "AT mains trouble"),
    (Kind.POWER_CUT, Phase.CLEAR, "AR mains restored"),
    (Kind.LOW_BATTERY, Phase.RAISE, "XT transmitter battery trouble; YM system battery missing; YT system battery trouble"),
    (Kind.LOW_BATTERY, Phase.CLEAR, "XR transmitter battery restored; YR system battery restored"),
    (
        Kind.OFFLINE,
        Phase.RAISE,
        "BZ missing supervision; EM expansion device missing; FY missing fire trouble; FZ missing fire supervision; UY untyped missing trouble;"
        " UZ untyped missing alarm",
    ),
    (Kind.OFFLINE, Phase.CLEAR, "EN expansion device back"),
    (Kind.TAMPER, Phase.RAISE, "ES expansion device tamper; JAu user code tamper; TT tamper trouble; XS RF receiver tamper"),
    (Kind.TAMPER, Phase.CLEAR, "EJ expansion device tamper restored; TJ tamper trouble restored; XJ RF receiver tamper restored"),
    (
        Kind.FAULT,
        Phase.RAISE,
        "AS analogue service; BD swinger trouble; DJ door forced, trouble; DM door left open, trouble; DT access trouble; ET expansion trouble;"
        " FW fire supervisory trouble; IA equipment failure; LT phone line trouble; NC network condition; NT network failure; RT data lost;"
        " VO printer out of paper; VT printer trouble; VZ printer offline; XL low received signal; XQ RF interference; XX failed to test;"
        " YA bell fault; YC communications fail; YD line card trouble; YF parameter checksum fail; YI overcurrent trouble; YP power supply trouble;"
        " YS communications trouble; YU diagnostic error; YW watchdog reset; YX service required; JO log overflow",
    ),
    (
        Kind.FAULT,
        Phase.CLEAR,
        "AN analogue restored; BE swinger trouble restored; ER expansion restored; FQ fire supervisory trouble restored; FV fire supervision back;"
        " IR equipment restored; LR phone line restored; NR network restored; VI printer paper in; VR printer restored; VY printer online;"
        " XH RF interference over; YE line card restored; YH bell restored; YJ overcurrent restored; YK communications restored;"
        " YQ power supply restored; YZ service completed; GV gas supervision restored; HV hold-up supervision restored",
    ),
    (Kind.CANCEL, Phase.RAISE, "ABu abort; BCu burglary cancel; FCu fire cancel; OCu cancel report"),
    (
        Kind.TEST,
        Phase.TEST,
        "FI fire test begun; FK fire test ended; RP automatic test; RX manual test; RY test off normal; TC all points tested; TE test ended;"
        " TP walk test point; TS test begun; TX test report; VX printer test",
    ),
    (
        Kind.TELEMETRY,
        Phase.STATE,
        "CAu automatic closing; CDu closing delinquent; CEu closing extended; CFu forced closing; CGu area closed; CIu failed to close;"
        " CJu late closing; CKu early closing; CLu closing; CM recent closing, missing; COu command sent; CPu automatic closing; CQu remote closing;"
        " CRu recent closing; CSu keyswitch closing; CTu late to open; CWu was force armed; CX custom function; CZ point closing;"
        " DAu card assigned; DBu card deleted; DC access closed; DDu access denied; DE request to enter; DGu access granted; DH door left open, over;"
        " DIu access denied, passback; DKu access lockout; DL door left open, alarm; DN door left open; DO access open; DPu access denied, time;"
        " DQu access denied, arming state; DR door restored; DS door station; DU dealer; DVu access denied, level; DWu access denied, interlock;"
        " DX request to exit; DY door locked; DZ access denied, door secured; EEu exit error; EX external device condition; EZ exit error, missing;"
        " FL fire alarm silenced; JD date changed; JH holiday changed; JL log threshold; JPu user on premises; JR schedule executed;"
        " JS schedule changed; JT time changed; JVu user code changed; JXu user code deleted; JYu user code added; JZu user level set;"
        " LB local program begun; LD local program denied; LE listen-in ended; LF listen-in begun; LS local program done; LU local program failed;"
        " LX local programming ended; MI message; NFu forced perimeter arm; NLu perimeter armed; NM perimeter armed, user defined;"
        " OAu automatic opening; OGu area opened;"
        " OHu early to open from alarm; OIu failed to open; OJu late opening; OKu early opening; OLu late to open from alarm; OPu opening;"
        " OQu remote opening; ORu disarmed from alarm; OSu keyswitch opening; OTu late to close; OZ point opening; RA remote programmer call failed;"
        " RB remote program begun; RC relay closed; RD remote program denied; RN remote reset; RO relay open; RR power up; RS remote program done;"
        " RU remote program failed; SC change of state; TW area watch begun; TZ area watch ended; XA extra account; XE extra point;"
        " XF extra RF point; XI sensor reset; XM cross point, missing; XW forced point; YB busy seconds; YG parameter changed; YN invalid report;"
        " YO unknown message; YY status report",
    ),
)


def _table() -> dict[str, SiaCode]:
    codes: dict[str, SiaCode] = {}
    for letter, (kind, name) in _TYPES.items():
        for end, (other, phase, what) in _ENDS.items():
            codes[letter + end] = SiaCode(other or kind, phase, f"{name} {what}", False, letter == "H" and end == "A")
    for kind, phase, entries in _ROWS:  # a code of its own goes before one that is only composed (UX, TT, TX, …)
        for entry in entries.split(";"):
            head, _, name = entry.strip().partition(" ")
            codes[head[:2]] = SiaCode(kind, phase, name, head[2:] == "u")
    return codes


SIA_CODES: dict[str, SiaCode] = _table()
