"""What a shard tells of itself to the consoles, what they may ask of it, and how it answers. MessagePack on the wire.

`changes.<shard>`      told after commits, numbered without gaps within an epoch; with a beat at least every BEAT_S
`shard.<shard>.<verb>` a question to whoever owns the shard (gateway.shard_requests)
`consoles.<name>`      who sits at a console, for the others
`self_test.<edge>`     what came of its probes; `edge.<edge>.probe` probes a point at once (gateway.edge_watch)
`corrections`          what was corrected of the register, and every second what there should be (gateway.shared_corrections)
"""

from datetime import datetime

import msgspec

from gateway.core.account import AccessWrite
from gateway.core.corrections import Correction
from gateway.core.incident import Incident, Leg
from gateway.core.senders import Key
from gateway.core.state import Call, Seen
from gateway.core.supervised import Silence
from gateway.core.territory import Standing

BEAT_S = 1.0
DONE, REFUSED, DOWN = "done", "refused", "down"
MARKED, UNMARKED, WAITING = "marked", "unmarked", "waiting"  # of Probed: a test, on disk; no test device here; not on disk yet


class Beat(msgspec.Struct, frozen=True, array_like=True):
    """The owner lives. core: its name; since: owner since when; lag_s: of the bus; rejected: [(line, reason, count)]; queues: what waits, by name."""

    core: str
    since: datetime
    lag_s: float = 0.0
    rejected: tuple[tuple[str, str, int], ...] = ()
    queues: dict[str, int] = {}


class Told(msgspec.Struct, frozen=True, array_like=True):
    """What is otherwise since the number before. None: it is no more. at: when it was told, seconds since 1970.

    strangers: keys of `seen` that are on no register; sent: alarms and faults that devices raised; steps: facts of the steps of calls, JSON
    """

    epoch: int
    number: int
    at: float
    beat: Beat | None = None
    incidents: dict[str, Incident | None] = {}
    calls: dict[str, Call | None] = {}
    standings: dict[str, Standing | None] = {}
    silent: dict[str, Silence | None] = {}
    seen: dict[str, Seen] = {}
    strangers: tuple[str, ...] = ()
    sent: tuple[tuple[Key, datetime], ...] = ()
    steps: tuple[bytes, ...] = ()
    access: tuple[AccessWrite, ...] = ()


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """What came of a question. body: of one that is DONE; reason, status, facts: of a refusal; number: of `changes`, by which all of it is told."""

    outcome: str
    body: bytes = b""
    reason: str = ""
    status: int = 0
    facts: dict[str, object] = {}
    epoch: int = 0
    number: int = 0


class Noted(msgspec.Struct, frozen=True, array_like=True):
    """Something to be journalled that changes no incident. facts: JSON; write: rows of accounts and sessions that go with it, if any.

    key: asked again under the same one, it is one entry
    """

    kind: str
    actor: str | None
    facts: bytes
    write: AccessWrite | None = None
    key: str = ""


class ProbeOrder(msgspec.Struct, frozen=True, array_like=True):
    """Send a test order, and see it arrive. point: whose probe; at: when it began; station, channel: as the edge has them; within_s: from now on."""

    delivery: str
    point: str
    at: datetime
    station: str
    channel: str
    within_s: float


class Probed(msgspec.Struct, frozen=True, array_like=True):
    """Has the event of a probe (gateway.self_test) of this device, received at this time, been committed? None: would it be a test?

    order: if it has, answer with Reached. A core that does not know test orders reads over it, and says MARKED all the same.
    """

    line: str
    device: str
    at: datetime | None
    order: ProbeOrder | None = None


class Reached(msgspec.Struct, frozen=True, array_like=True):
    """What became of a test order. reason: why the test station did not get it; listened_s: until we listened there, before it was sent."""

    is_there: bool
    reason: str = ""
    listened_s: float = 0.0


class OpenMatter(msgspec.Struct, frozen=True, array_like=True):
    """The orders of an open incident to responders who write texts (gateway.dispatch.text_answers.Matter)."""

    id: str
    legs: tuple[Leg, ...]
    is_open: bool = True


class Corrected(msgspec.Struct, frozen=True, array_like=True):
    """What was written of corrections just now; mark: of all that there are then (gateway.correcting.Corrections.mark)."""

    mark: int
    written: tuple[Correction, ...] = ()
    forgotten: tuple[int, ...] = ()


class CorrectionPage(msgspec.Struct, frozen=True, array_like=True):
    """Corrections from the lowest number on. more: there are others behind them."""

    rows: tuple[Correction, ...]
    more: bool = False


class Notice(msgspec.Struct, frozen=True, array_like=True):
    """A notice to stations."""

    notice: str
    text: str
    responders: tuple[str, ...]


class Sitting(msgspec.Struct, frozen=True, array_like=True):
    """One browser at a console. id: the hash of its cookie; view, mode: of which incident, looking or writing."""

    id: str
    name: str | None = None
    extension: str | None = None
    sound: bool = False
    view: str = ""
    mode: str = ""


_encoder = msgspec.msgpack.Encoder()
_told = msgspec.msgpack.Decoder(Told)
_answer = msgspec.msgpack.Decoder(Answer)
_corrected = msgspec.msgpack.Decoder(Corrected)
_sitting = msgspec.msgpack.Decoder(list[Sitting])


def packed(thing: object) -> bytes:
    """The bytes of any of these."""
    return _encoder.encode(thing)


def told_of(data: bytes) -> Told:
    """Raises msgspec.MsgspecError for what no core of this version told."""
    return _told.decode(data)


def answer_of(data: bytes) -> Answer:
    """As told_of."""
    return _answer.decode(data)


def corrected_of(data: bytes) -> Corrected:
    """As told_of."""
    return _corrected.decode(data)


def sitting_of(data: bytes) -> list[Sitting]:
    """As told_of, of a console."""
    return _sitting.decode(data)
