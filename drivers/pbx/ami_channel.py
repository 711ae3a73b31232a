"""One channel of an Asterisk as its manager tells of it, and the small words in its fields."""

OURS = "gateway-"  # Uniqueids of the channels that we originate begin so

# Channels that are machinery, not telephones.
_NO_PEOPLE = frozenset(
    "Local Announcer Recorder CBAnn CBRec ConfBridgeRecorder Snoop Surrogate Message UnicastRTP MulticastRTP AudioSocket WebSocket Bridge "
    "AsyncGoto Parked Agent Feature Bucket Console".split()
)


class Channel:
    """linked: its Linkedid now; asked: its far end asked to hang up; half: the Uniqueid of a Local channel's other end."""

    __slots__ = ("application", "asked", "born", "bridge", "half", "is_caller", "is_dialled", "linked", "name", "number", "uid")

    def __init__(self, uid: str, linked: str, name: str, number: str, born: float) -> None:
        self.uid = uid
        self.linked = linked
        self.name = name
        self.number = number
        self.born = born
        self.bridge = ""
        self.half = ""
        self.application = ""
        self.asked = False
        self.is_caller = False  # of a call at the hotline
        self.is_dialled = False

    @property
    def is_person(self) -> bool:
        return self.name.partition("/")[0] not in _NO_PEOPLE

    @property
    def is_ours(self) -> bool:
        return self.uid.startswith(OURS) or self.linked.startswith(OURS)

    @property
    def device(self) -> str:
        """`8001` of `PJSIP/8001-00000002`, `Local/8001@agents-00000001;1`."""
        return device_of(self.name.rpartition("-")[0] or self.name)


def device_of(interface: str) -> str:
    """`8001` of `PJSIP/8001`, `Local/8001@agents/n`, `SIP/8001@10.0.0.1`."""
    return interface.partition("/")[2].partition("/")[0].partition("@")[0]


def number(text: str) -> float | None:
    """Seconds, milliseconds, a position: digits with perhaps a fraction; None when it is no number."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < 1e9 else None


def duration_s(text: str) -> float:
    """`00:01:05` as seconds; 0 when it is none."""
    seconds = 0.0
    for part in text.split(":"):
        value = number(part)
        if value is None:
            return 0.0
        seconds = 60 * seconds + value
    return min(seconds, 1e6)
