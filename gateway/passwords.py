"""Passwords and PINs: argon2id with the library's defaults (RFC 9106, second recommendation), and which ones are too easy. Hashing takes
64 MiB and some 50 ms: never in the loop."""

import secrets
import unicodedata
from itertools import pairwise

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

PASSWORD_LEAST, PASSWORD_MOST = 10, 200  # characters
PIN_LEAST, PIN_MOST = 4, 8  # digits; for the lock screen only
# What is tried first everywhere (NIST SP 800-63B, 5.1.1.2 asks for such a list), and what this house would suggest.
COMMON = frozenset(
    """
    1234567890 0123456789 12345678910 0987654321 1234512345 1111111111 0000000000 8888888888 6666666666 1122334455 1231231231 123123123123
    11223344556677 147258369a 1234567891 123456789a a123456789 aa12345678 aa123456789 abc123456789 woaini1314 woaini520520 5201314520
    password12 password123 password1234 passw0rd123 p@ssw0rd123 p@ssword123 iloveyou123 iloveyou1234 letmein1234 welcome123 welcome1234
    qwertyuiop qwerty12345 qwerty123456 qwertyuiop123 1q2w3e4r5t 1qaz2wsx3edc 1qazxsw23edc zaq12wsxcde3 asdfghjkl1 asdfghjkl123 zxcvbnm123
    administrator admin12345 admin123456 adminadmin admin@12349 root123456 changeme123 changeme1234 honghong123 gateway12349 12349gateway
    1234912349 12349@12349 operator123 operator1234 supervisor1 supervisor123 hujiaozhongxin jujiayanglao
    """.split()
)
_hasher = PasswordHasher()
# Of a password that nobody has: so that an unknown login takes as long as a wrong password. The same parameters as everybody's.
NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$FhHJ10VtJeI1tIzJ89xWNQ$Zij+Ap2JLWFyJ4nD1QdkvqmVS1EPbvodLP9JJg8lSU4"


def hashed(secret: str) -> str:
    """The argon2id hash of a password or PIN, with its own salt. Blocks."""
    return _hasher.hash(_plain(secret))


def is_right(secret: str, hash_: str) -> bool:
    """Does it fit? Without a hash the same work is done, and it does not. Blocks."""
    try:
        return _hasher.verify(hash_ or NOBODY, _plain(secret)) and bool(hash_)
    except (VerificationError, InvalidHashError):
        return False


def is_old(hash_: str) -> bool:
    """Was it made with other parameters than those of today?"""
    return _hasher.check_needs_rehash(hash_)


def fault_of_password(password: str, login: str, name: str = "") -> str | None:
    """Why it will not do, as a reason: password_short, password_long, password_login, password_common; None: it will."""
    plain = _plain(password)
    if len(plain) < PASSWORD_LEAST:
        return "password_short"
    if len(plain) > PASSWORD_MOST:
        return "password_long"
    folded = plain.casefold()
    for part in filter(None, (login.casefold(), name.casefold())):
        if folded.replace(part, "").strip("0123456789") == "" and part in folded:
            return "password_login"
    if folded in COMMON or len(set(folded)) < 4 or _is_run(folded):
        return "password_common"
    return None


def is_pin(text: str) -> bool:
    """Four to eight digits."""
    return text.isascii() and text.isdigit() and PIN_LEAST <= len(text) <= PIN_MOST


def one_time_password() -> str:
    """To be told to somebody once and changed at the first log-in: four groups of four letters that cannot be mixed up, 80 bits."""
    letters = "abcdefghijkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(letters) for _ in range(4)) for _ in range(4))


def _plain(text: str) -> str:
    """The same characters whichever way a keyboard composed them (RFC 8265, 4.2.2)."""
    return unicodedata.normalize("NFC", text)


def _is_run(text: str) -> bool:
    """abcdefghij, 9876543210: each letter is the next one, or the one before."""
    steps = {ord(b) - ord(a) for a, b in pairwise(text)}
    return steps in ({1}, {-1})
