"""The GSM 7 bit default alphabet and how seven bits are packed into octets. Source: 3GPP TS 23.038, 6.1.2.1 and 6.2.1."""

ESCAPE = 0x1B
_BASIC = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
_EXTENDED = {0x0A: "\f", 0x14: "^", 0x28: "{", 0x29: "}", 0x2F: "\\", 0x3C: "[", 0x3D: "~", 0x3E: "]", 0x40: "|", 0x65: "€"}
_CODES = {letter: bytes((code,)) for code, letter in enumerate(_BASIC) if code != ESCAPE} | {
    letter: bytes((ESCAPE, code)) for code, letter in _EXTENDED.items()
}


def septets_of(text: str) -> bytes | None:
    """One octet a septet; None when a letter is not in the alphabet."""
    found = [_CODES.get(letter) for letter in text]
    return None if None in found else b"".join(code for code in found if code is not None)


def text_of(septets: bytes) -> str:
    """The letters. An unknown extension is shown as the letter without it, as the standard wants; an escape at the end as a space."""
    text = []
    is_escaped = False
    for code in septets:
        if is_escaped:
            text.append(_EXTENDED.get(code, _BASIC[code & 0x7F] if code != ESCAPE else " "))
            is_escaped = False
        elif code == ESCAPE:
            is_escaped = True
        else:
            text.append(_BASIC[code & 0x7F])
    return "".join(text) + (" " if is_escaped else "")


def pack(septets: bytes, fill: int = 0) -> bytes:
    """Eight septets into seven octets, the first into the lowest bits, after `fill` bits of nothing."""
    value = 0
    for place, septet in enumerate(septets):
        value |= septet << (7 * place + fill)
    return value.to_bytes((7 * len(septets) + fill + 7) // 8, "little")


def unpack(octets: bytes, count: int, fill: int = 0) -> bytes:
    """The first `count` septets after `fill` bits; fewer when there are not so many."""
    value = int.from_bytes(octets, "little") >> fill
    count = max(0, min(count, (8 * len(octets) - fill) // 7))
    return bytes(value >> 7 * place & 0x7F for place in range(count))
