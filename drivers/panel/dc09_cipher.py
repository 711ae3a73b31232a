"""The cipher of SIA DC-09: AES in CBC mode with an IV of zeros, the pad in front, ciphertext as hex digits.

No frame is authenticated: that a key was wrong shows only in what comes out.
Source: ANSI/SIA DC-09-2013, clause 5.4.
"""

import secrets

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

BLOCK = 16
KEY_BYTES = (16, 24, 32)  # AES-128, -192, -256
_IV = bytes(BLOCK)
_PAD = bytes(value for value in range(256) if chr(value) not in "|[]")


class CipherError(Exception):
    """These hex digits cannot be the ciphertext of anything."""


def decrypt(key: bytes, digits: bytes) -> bytes:
    """The plaintext without its pad: from the first `|`, or without one from the first `]`; empty when it has neither.

    Raises CipherError when the digits are no whole number of blocks.
    """
    try:
        ciphertext = bytes.fromhex(digits.decode("ascii"))
    except ValueError as error:
        raise CipherError from error
    if not ciphertext or len(ciphertext) % BLOCK:
        raise CipherError
    decryptor = Cipher(algorithms.AES(key), modes.CBC(_IV)).decryptor()
    plain = decryptor.update(ciphertext) + decryptor.finalize()
    at = plain.find(b"|") if b"|" in plain else plain.find(b"]")
    return plain[at:] if at >= 0 else b""


def encrypt(key: bytes, text: bytes) -> bytes:
    """Hex digits of `text` behind a random pad of 1 to 16 bytes."""
    pad = bytes(secrets.choice(_PAD) for _ in range(BLOCK - len(text) % BLOCK))
    encryptor = Cipher(algorithms.AES(key), modes.CBC(_IV)).encryptor()
    return (encryptor.update(pad + text) + encryptor.finalize()).hex().upper().encode()
