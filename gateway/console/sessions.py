"""Who sits at which console. What somebody has logged in to outlives a restart (the store keeps its hash); the rest is in memory only."""

import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable, Container, Iterable
from datetime import datetime, timedelta

from gateway.bus.shard_words import Sitting
from gateway.core.account import AccountSession

COOKIE = "session"
SAFE_COOKIE = "__Host-session"  # under https: no neighbouring host or path can set it (RFC 6265bis, 4.1.3.2)
SESSIONS_LIMIT = 1_000  # browsers remembered; one room has tens, the rest are scripts that keep no cookie
LIFE_S = 12 * 3600.0  # absolute, one long shift (console design, 8): of a session in which nobody has logged in
VIEWED_LIMIT = 1_000  # records that a session is known to have opened: many more than one person takes in a shift
PRESENCE_S = 45.0  # a console that has not been heard for this long is not there (console design, 6)
CSRF = b"csrf"


def id_of(token: str) -> str:
    """What is kept of a cookie."""
    return hashlib.sha256(token.encode()).hexdigest()


class Session:
    """One browser. `token` is the cookie, "" of one that was restored and not seen yet; `id` its hash. `csrf`, what the page must repeat, follows
    from the token, so that it is the same after a restart. 256 random bits."""

    def __init__(self, now: float, *, token: str = "", of: str = "", local: bool = False) -> None:
        self.id = of or id_of(token)
        self.token = token
        self.login = ""  # the account that has logged in here; "" = nobody has
        self.local = local  # a command on this machine: it has shown that it can read the data folder
        self.locked = False  # the screen shows counts only, and goes on alarming
        self.name: str | None = None  # who is on duty here
        self.extension: str | None = None  # the telephone at this desk
        self.opened = now
        self.until = now + LIFE_S
        self.opened_at: datetime | None = None  # of one with a log-in, aware UTC
        self.until_at: datetime | None = None
        self.address = ""  # where the log-in came from
        self.seen = now
        self.seen_elsewhere = now - LIFE_S  # at another console of the same house
        self.heard_sound: float | None = None
        self.looks: tuple[str, str, float] | None = None  # incident, look or edit, since when (gateway.console.presence)
        self._viewed: OrderedDict[str, None] = OrderedDict()  # incident and person whose record this console has opened
        self.totp = ""  # a secret that is being enrolled

    @property
    def csrf(self) -> str:
        return hmac.digest(self.token.encode(), CSRF, "sha256").hex()

    def allows(self, csrf: str) -> bool:
        """Is this our own page speaking?"""
        return hmac.compare_digest(csrf.encode(), self.csrf.encode())

    def has_viewed(self, record: str) -> bool:
        """Is it in the journal that this session opened it? What was forgotten is journalled again when it is opened again."""
        return record in self._viewed

    def view(self, record: str) -> None:
        """It is in the journal."""
        self._viewed[record] = None
        if len(self._viewed) > VIEWED_LIMIT:
            self._viewed.popitem(last=False)

    def go_on_from(self, before: "Session") -> None:
        """The same duty after another log-in."""
        self.name, self.extension, self._viewed, self.heard_sound = before.name, before.extension, before._viewed, before.heard_sound

    @property
    def row(self) -> AccountSession:
        """As the store keeps it."""
        assert self.opened_at is not None
        assert self.until_at is not None
        return AccountSession(
            id=self.id,
            login=self.login,
            opened_at=self.opened_at,
            until=self.until_at,
            address=self.address,
            name=self.name,
            extension=self.extension,
            locked=self.locked,
        )


class Sessions:
    """All of them, the one used longest ago first."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._sessions: OrderedDict[str, Session] = OrderedDict()

    def restore(self, rows: Iterable[AccountSession], now: datetime) -> None:
        """Those that outlived a restart."""
        at = self._clock()
        for row in rows:
            left_s = (row.until - now).total_seconds()
            if left_s <= 0:
                continue
            session = Session(at, of=row.id)
            session.login, session.name, session.extension, session.locked = row.login, row.name, row.extension, row.locked
            session.address, session.opened_at, session.until_at = row.address, row.opened_at, row.until
            session.until = at + left_s
            session.seen = at - PRESENCE_S - 1  # it is there when it speaks
            self._sessions[session.id] = session

    def follow(self, rows: Iterable[AccountSession], ended: Iterable[str], now: datetime) -> None:
        """What was done with log-ins at another console."""
        for name in ended:
            self._sessions.pop(name, None)
        for row in rows:
            known = self._sessions.get(row.id)
            if known is None:
                self.restore((row,), now)
            else:
                known.login, known.name, known.extension, known.locked = row.login, row.name, row.extension, row.locked

    def keep_only(self, names: Container[str], since: datetime) -> None:
        """Of the log-ins of before `since` these are all; the others have ended at other consoles."""
        for name, one in list(self._sessions.items()):
            if one.login and name not in names and one.opened_at is not None and one.opened_at < since:
                del self._sessions[name]

    def sitting_here(self) -> list[Sitting]:
        """Who has been seen at this console lately, for the other consoles."""
        recent = self._clock() - PRESENCE_S
        return [
            Sitting(one.id, one.name, one.extension, one.heard_sound is not None and one.heard_sound >= recent, *(one.looks or ("", ""))[:2])
            for one in self._sessions.values()
            if one.name is not None and one.seen >= recent and not one.local
        ]

    def sits_elsewhere(self, told: Sitting, *, keep: bool) -> None:
        """Somebody sits at another console. keep: also if nothing is known of them here (without accounts)."""
        session = self._sessions.get(told.id)
        if session is None:
            if not keep or len(self._sessions) >= SESSIONS_LIMIT:
                return
            session = self._sessions[told.id] = Session(self._clock(), of=told.id)
            session.seen = self._clock() - PRESENCE_S - 1
        now = session.seen_elsewhere = self._clock()
        if not session.login and session.seen < now - PRESENCE_S:
            session.name, session.extension = told.name, told.extension
        if told.sound:
            session.heard_sound = now
        session.looks = (told.view, told.mode, now) if told.view else None

    def open(self, *, local: bool = False) -> Session:
        """A new one; with too many the one used longest ago goes, those with a log-in after the rest, people on duty last."""
        if len(self._sessions) >= SESSIONS_LIMIT:
            idle = next((name for name, one in self._sessions.items() if one.name is None and not one.login), None)
            idle = idle or next((name for name, one in self._sessions.items() if one.name is None), None)
            del self._sessions[idle or next(iter(self._sessions))]
        session = Session(self._clock(), token=secrets.token_urlsafe(32), local=local)
        self._sessions[session.id] = session
        return session

    def log_in(self, before: Session, login: str, life_s: float, now: datetime, address: str) -> Session:
        """A new one with a new token in place of the one before the log-in (no fixation). One's own log-in again goes on with the same duty."""
        session = self.open()
        session.login, session.address = login, address
        session.until = session.opened + life_s
        session.opened_at, session.until_at = now, now + timedelta(seconds=life_s)
        if before.login == login:
            session.go_on_from(before)
        return session

    def renew(self, session: Session) -> tuple[Session, str]:
        """The same session under a new token; it and the id it had. Whoever has the old token has nothing."""
        old = session.id
        self._sessions.pop(old, None)
        session.token = secrets.token_urlsafe(32)
        session.id = id_of(session.token)
        self._sessions[session.id] = session
        return session, old

    def close(self, session: Session) -> None:
        """It is no more."""
        self._sessions.pop(session.id, None)

    def left_s(self, session: Session) -> float:
        """Seconds until it ends by itself."""
        return max(0.0, session.until - self._clock())

    def of(self, login: str) -> list[Session]:
        """The browsers in which somebody has logged in and that have not expired."""
        now = self._clock()
        return [one for one in self._sessions.values() if one.login == login and one.until >= now]

    def find(self, token: str | None) -> Session | None:
        """The session with this cookie, marked as seen."""
        if not token or len(token) > 64:
            return None
        name = id_of(token)
        session = self._sessions.get(name)
        if session is None:
            return None
        now = self._clock()
        if now > session.until:
            del self._sessions[name]
            return None
        session.token = token
        session.seen = now
        self._sessions.move_to_end(name)
        return session

    def sit_at(self, session: Session, extension: str | None) -> list[Session]:
        """This console is at that telephone; whoever sat there before is not any more: those are given back."""
        moved = []
        for other in self._sessions.values():
            if other is not session and extension is not None and other.extension == extension:
                other.extension = None
                moved.append(other)
        session.extension = extension
        return moved

    def hear_sound(self, session: Session) -> None:
        """The page says that its sound is running."""
        session.heard_sound = self._clock()

    def present(self) -> list[Session]:
        """Those on duty whose console is there. A command on this machine is no console."""
        recent = self._clock() - PRESENCE_S
        return [one for one in self._sessions.values() if one.name is not None and max(one.seen, one.seen_elsewhere) >= recent and not one.local]
