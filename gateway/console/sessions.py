"""Who sits at which console. In memory only, until accounts exist: a name on duty is what somebody typed, unverified."""

import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterator

from gateway.console.views import Json

COOKIE = "session"
SESSIONS_LIMIT = 1_000  # browsers remembered; one room has tens, the rest are scripts that keep no cookie
LIFE_S = 12 * 3600.0  # absolute, one long shift (console design, 8)
PRESENCE_S = 45.0  # a console that has not been heard for this long is not there (console design, 6)


class Session:
    """One browser. `token` is the cookie, `csrf` what its page must repeat; 256 random bits each."""

    def __init__(self, now: float) -> None:
        self.token = secrets.token_urlsafe(32)
        self.csrf = secrets.token_urlsafe(32)
        self.name: str | None = None
        self.extension: str | None = None  # the telephone at this desk
        self.opened = now
        self.seen = now
        self.heard_sound: float | None = None
        self.viewed: set[str] = set()  # incident and person whose record this console has opened; as many as one person takes in a shift

    def allows(self, csrf: str) -> bool:
        """Is this our own page speaking?"""
        return hmac.compare_digest(csrf.encode(), self.csrf.encode())


class Sessions:
    """All of them, the one used longest ago first."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._sessions: OrderedDict[str, Session] = OrderedDict()

    def open(self) -> Session:
        """A new one; with too many the one used longest ago goes, people on duty last."""
        if len(self._sessions) >= SESSIONS_LIMIT:
            idle = next((token for token, session in self._sessions.items() if session.name is None), None)
            del self._sessions[idle or next(iter(self._sessions))]
        session = Session(self._clock())
        self._sessions[session.token] = session
        return session

    def find(self, token: str | None) -> Session | None:
        """The session with this cookie, marked as seen."""
        session = self._sessions.get(token or "")
        if session is None:
            return None
        now = self._clock()
        if now - session.opened > LIFE_S:
            del self._sessions[session.token]
            return None
        session.seen = now
        self._sessions.move_to_end(session.token)
        return session

    def sit_at(self, session: Session, extension: str | None) -> None:
        """This console is at that telephone; whoever sat there before is not any more."""
        for other in self._sessions.values():
            if other is not session and extension is not None and other.extension == extension:
                other.extension = None
        session.extension = extension

    def hear_sound(self, session: Session) -> None:
        """The page says that its sound is running."""
        session.heard_sound = self._clock()

    def operators(self) -> Iterator[Json]:
        """People on duty whose console is there, one row a name."""
        recent = self._clock() - PRESENCE_S
        people: dict[str, tuple[bool, str | None]] = {}
        for session in self._sessions.values():
            if session.name is not None and session.seen >= recent:
                sound = session.heard_sound is not None and session.heard_sound >= recent
                before, extension = people.get(session.name, (False, None))
                people[session.name] = before or sound, session.extension or extension
        for name, (sound, extension) in people.items():
            yield {"type": "operator", "id": name, "name": name, "sound": sound, "extension": extension}
