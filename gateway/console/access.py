"""Logging in and out, the lock screen, passwords, PINs and second factors: what is decided, and what the journal says of it."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from msgspec.structs import replace

from gateway import passwords, totp
from gateway.console.lock_out import TRIES_OF_ADDRESS, LockOut
from gateway.console.reader import Reader
from gateway.console.seam import House
from gateway.console.sessions import Session, Sessions
from gateway.core.account import NO_ROWS, AccessWrite, Account, AccountRole
from gateway.errors import Refused, StoreDown
from gateway.event import Kind
from gateway.responder_page.listener import source_of

HASHES_WAITING = 32  # each 64 MiB for 50 to 100 ms, one after the other: whoever comes thirty-third is told to try again
ISSUER = "12349"
Result = TypeVar("Result")


class Hashing:
    """One thread for what takes 64 MiB and a core: the loop that takes alarms never waits for it."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "passwords")
        self._waiting = 0

    async def run(self, call: Callable[..., Result], *args: object) -> Result:
        """Raises Refused: busy."""
        if self._waiting >= HASHES_WAITING:
            raise Refused("busy", 503)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, call, *args)
        finally:
            self._waiting -= 1


class Access:
    """Over one house."""

    def __init__(self, house: House, sessions: Sessions, clock: Callable[[], float]) -> None:
        self._house = house
        self._sessions = sessions
        self.hashing = Hashing()
        self.lock_out = LockOut(clock)
        self.changing = asyncio.Lock()  # an account is read, changed and written by one at a time: nobody writes back what another has changed
        self._used: dict[str, int] = {}  # the time step of the last code of a login, from the moment it was looked at

    # --- in and out --------------------------------------------------------------------------------------------------

    async def log_in(self, before: Session, login: str, password: str, code: str, address: str) -> Session:
        """A session under a new token. Raises Refused: wrong_log_in, code_wanted, wrong_code, locked_out, busy; StoreDown."""
        login = login.strip().lower()
        names = (f"account:{login}", f"address:{source_of(address)}")
        is_last = self.lock_out.begin(names[1], TRIES_OF_ADDRESS)
        try:
            is_last |= self.lock_out.begin(names[0])
        except Refused:
            self.lock_out.take_back(names[1])
            raise
        try:
            account, rehashed = await self._proved(login, password)
            step = self._second(account, code)
        except Refused as refused:
            if refused.reason in ("busy", "code_wanted"):  # nothing was guessed
                for name in names:
                    self.lock_out.take_back(name)
            if refused.reason not in ("busy", "code_wanted"):
                await self._tell_refused(login, address, refused.reason, is_last)
            raise
        news: dict[str, object] = {"password": rehashed} if rehashed else {}
        if step is not None:
            news["totp_used"] = step
        session = await self.open(before, account, address, news=news)
        self.lock_out.forget(names[0])
        self.lock_out.take_back(names[1])
        return session

    async def _proved(self, login: str, password: str) -> tuple[Account, str]:
        """Whose password it is, and a new hash of it ("": the old one will do). Without such an account the same is answered after the same work."""
        account = self._house.accounts.find(login)
        hash_ = account.password if account is not None and not account.disabled else ""
        is_right = len(password) <= passwords.PASSWORD_MOST and await self.hashing.run(passwords.is_right, password, hash_)
        if account is None or not is_right:
            raise Refused("wrong_log_in", 401)
        rehashed = await self.hashing.run(passwords.hashed, password) if passwords.is_old(account.password) else ""
        return self._as_now(account), rehashed

    def _as_now(self, proved: Account) -> Account:
        """The account as it is by now. Raises Refused: it was disabled, or is proved otherwise, since somebody began to prove it."""
        account = self._house.accounts.known(proved.login)
        if account.disabled or (account.password, account.external) != (proved.password, proved.external):
            raise Refused("wrong_log_in", 401)
        return account

    def _second(self, account: Account, code: str) -> int | None:
        """The time step of the second factor, used up by looking at it; None: there is none."""
        if not account.totp:
            return None
        if not code:
            raise Refused("code_wanted", 401)
        step = totp.step_of(account.totp, code, self._house.now(), max(account.totp_used, self._used.get(account.login, 0)))
        if step is None:
            raise Refused("wrong_code", 401)
        self._used[account.login] = step
        return step

    async def open(self, before: Session, proved: Account, address: str, way: str = "password", news: Mapping[str, object] | None = None) -> Session:
        """The session of somebody who has proved who they are, under a new token. `before`: that in which they did; news: fields of the account
        that are others now. Raises Refused: wrong_log_in; StoreDown."""
        house, console = self._house, self._house.config.console
        async with self.changing:
            account = self._as_now(proved)
            hours = console.wall_hours if account.role is AccountRole.WALL else console.session_hours
            session = self._sessions.log_in(before, account.login, hours * 3600, house.now(), address)
            changed = (replace(account, **news),) if news else ()
            write = AccessWrite(accounts=changed, sessions=(session.row,), ended=(before.id,))
            try:
                await self._tell("log_in", account, address, write, way=way)
            except BaseException:  # not on record, so it has not happened
                self._sessions.close(session)
                raise
        self._sessions.close(before)
        return session

    async def log_out(self, session: Session, address: str) -> None:
        """The session is no more, whatever the store says; who was on duty there is not any more. Raises StoreDown."""
        self._sessions.close(session)
        account = self._house.accounts.find(session.login)
        if session.name is not None:
            await self._house.note(Kind.NOTE, session.name, duty=False, verified=account is not None)
        if account is not None:
            await self._tell("log_out", account, address, AccessWrite(ended=(session.id,)))

    # --- the lock screen ---------------------------------------------------------------------------------------------

    async def lock(self, session: Session, address: str) -> None:
        """The screen shows counts only from now on, also if that cannot be written. Raises StoreDown."""
        if session.locked:
            return
        session.locked = True
        await self._tell("lock", self._house.accounts.known(session.login), address, AccessWrite(sessions=(session.row,)))

    async def unlock(self, session: Session, secret: str, address: str) -> None:
        """By password or PIN. Raises Refused: wrong_secret, locked_out (logging in anew is possible then); StoreDown."""
        account = self._house.accounts.known(session.login)
        name = f"screen:{session.id}"
        is_last = self.lock_out.begin(name)
        hash_ = account.pin if account.pin and passwords.is_pin(secret) else account.password
        if not await self.hashing.run(passwords.is_right, secret[: passwords.PASSWORD_MOST], hash_):
            with suppress(StoreDown):
                await self._tell("unlock", account, address, result="refused", reason="locked_out" if is_last else "wrong_secret")
            raise Refused("wrong_secret", 403)
        self.lock_out.forget(name)
        session.locked = False
        try:
            await self._tell("unlock", account, address, AccessWrite(sessions=(session.row,)))
        except BaseException:
            session.locked = True
            raise

    # --- one's own secrets -------------------------------------------------------------------------------------------

    async def check_password(self, session: Session, password: str) -> Account:
        """Once more, before something of one's own is changed. Raises Refused: wrong_secret, locked_out."""
        account = self._house.accounts.known(session.login)
        name = f"screen:{session.id}"
        self.lock_out.begin(name)
        if not await self.hashing.run(passwords.is_right, password[: passwords.PASSWORD_MOST], account.password):
            raise Refused("wrong_secret", 403)
        self.lock_out.forget(name)
        return self._house.accounts.known(session.login)

    async def change_password(self, session: Session, old: str, new: str, address: str) -> Session:
        """Every other session of the account ends; this one goes on under a new token. Raises Refused: wrong_secret, password_…; StoreDown."""
        account = await self.check_password(session, old)
        if old == new:
            raise Refused("password_same", 400)
        fault = passwords.fault_of_password(new, account.login, account.name)
        if fault is not None:
            raise Refused(fault, 400, least=passwords.PASSWORD_LEAST)
        hash_ = await self.hashing.run(passwords.hashed, new)
        others = [one for one in self._sessions.of(account.login) if one is not session]
        session, old_id = self._sessions.renew(session)
        write = AccessWrite(sessions=(session.row,), ended=(old_id, *(one.id for one in others)))
        news = {"password": hash_, "must_change": False, "changed_at": self._house.now()}
        await self._changed("password", account.login, address, news, write)
        for one in others:
            self._sessions.close(one)
        return session

    async def change_pin(self, session: Session, password: str, pin: str, address: str) -> None:
        """ "" takes it away. Raises Refused: wrong_secret, bad_pin; StoreDown."""
        if pin and (not passwords.is_pin(pin) or len(set(pin)) == 1 or pin in "0123456789876543210"):
            raise Refused("bad_pin", 400, least=passwords.PIN_LEAST, most=passwords.PIN_MOST)
        await self.check_password(session, password)
        hash_ = await self.hashing.run(passwords.hashed, pin) if pin else ""
        await self._changed("pin" if pin else "pin_dropped", session.login, address, {"pin": hash_})

    async def enrol_totp(self, session: Session, password: str) -> dict[str, object]:
        """A secret to put into an app; it counts once `confirm_totp` has seen a code of it. Raises Refused: wrong_secret."""
        account = await self.check_password(session, password)
        session.totp = totp.new_secret()
        return {"secret": session.totp, "address": totp.address_of(session.totp, account.login, ISSUER)}

    async def confirm_totp(self, session: Session, code: str, address: str) -> None:
        """Raises Refused: not_enrolling, wrong_code, locked_out; StoreDown."""
        if not session.totp:
            raise Refused("not_enrolling")
        name = f"screen:{session.id}"
        self.lock_out.begin(name)
        step = totp.step_of(session.totp, code, self._house.now())
        if step is None:
            raise Refused("wrong_code", 403)
        self.lock_out.forget(name)
        await self._changed("totp", session.login, address, {"totp": session.totp, "totp_used": step})
        session.totp = ""

    async def drop_totp(self, session: Session, password: str, address: str) -> None:
        """Raises Refused: wrong_secret; StoreDown."""
        await self.check_password(session, password)
        await self._changed("totp_dropped", session.login, address, {"totp": "", "totp_used": 0})

    # --- the journal -------------------------------------------------------------------------------------------------

    async def _changed(self, what: str, login: str, address: str, news: Mapping[str, object], write: AccessWrite = NO_ROWS) -> None:
        async with self.changing:
            account = replace(self._house.accounts.known(login), **news)
            facts = {"what": what, "login": login, "role": account.role, "areas": account.areas, "by": login, "address": address}
            await self._house.access(Kind.ACCOUNT, account.name, replace(write, accounts=(account,)), **facts)

    async def _tell(self, what: str, account: Account, address: str, write: AccessWrite = NO_ROWS, **facts: object) -> None:
        told = {"what": what, "login": account.login, "role": account.role, "address": address, "result": "ok", **facts}
        await self._house.access(Kind.ACCESS, account.name, write, **told)

    async def _tell_refused(self, login: str, address: str, reason: str, is_last: bool) -> None:
        """The name typed is told only if it is one: into that field people type passwords, too. The refusal stands without a journal."""
        account = self._house.accounts.find(login)
        facts = {"what": "log_in", "login": login if account is not None else "", "address": address, "result": "refused", "reason": reason}
        role = {"role": account.role} if account is not None else {}
        with suppress(StoreDown):
            await self._house.access(Kind.ACCESS, None, NO_ROWS, **facts, **role, **({"locked_out": True} if is_last else {}))

    def view(self, session: Session, reader: Reader | None) -> dict[str, object]:
        """What the session says of the log-in."""
        house = self._house
        is_on = house.config.console.accounts
        account = house.accounts.find(session.login) if reader is not None and session.login else None
        return {
            "log_in": is_on and reader is None,
            "oidc": house.config.oidc.name if is_on and house.config.oidc.is_on else None,
            "no_accounts": is_on and house.accounts.is_empty,
            "must_change": account is not None and account.must_change,
            "screen_locked": session.locked,
            "pin": account is not None and bool(account.pin),
            "totp": account is not None and bool(account.totp),
            "own_password": account is not None and bool(account.password),
            "idle_lock_s": house.config.console.idle_lock_s if account is not None and account.role is not AccountRole.WALL else 0,
            "until": session.until_at if account is not None else None,
        }
