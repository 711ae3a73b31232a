"""Short messages as modem and network exchange them: SMS-SUBMIT out, SMS-DELIVER and SMS-STATUS-REPORT in.

Source: 3GPP TS 23.040, 9.2 (the parameters), 9.1.2.5 (addresses), 9.2.3.24.1 (concatenation); TS 23.038, 4 (data coding); TS 27.005, 3.1 (the
service centre's address before the TPDU). Bytes never raise: what cannot be read is None.
"""

from datetime import UTC, datetime, timedelta, timezone

import msgspec

from drivers.modem.gsm_alphabet import ESCAPE, pack, septets_of, text_of, unpack

MAX_PARTS = 10  # of one message of ours or of others; 670 Chinese characters
WHOLE, PART = 140, 134  # octets of user data: alone, and beside the six of a concatenation header
STATUS_REPORT, VALIDITY, HEADER = 0x20, 0x10, 0x40  # bits of the first octet
INTERNATIONAL, ALPHANUMERIC = 0x91, 0xD0


class Submit(msgspec.Struct, frozen=True):
    """One SMS-SUBMIT: hex digits for the modem, and the length that AT+CMGS wants (without the service centre's address)."""

    hex: str
    length: int


class Deliver(msgspec.Struct, frozen=True, kw_only=True):
    """One SMS-DELIVER. part, parts: of a long message with `reference`; 1 of 1 alone. text is None where the data are no text."""

    sender: str
    sent_at: datetime | None
    text: str | None
    reference: int = 0
    part: int = 1
    parts: int = 1


class StatusReport(msgspec.Struct, frozen=True):
    """One SMS-STATUS-REPORT: of the message with this reference, sent to this number. status: TP-ST (9.2.3.15)."""

    reference: int
    recipient: str
    status: int

    @property
    def is_over(self) -> bool:
        """Delivered, or given up: the network does not try any more."""
        return not 0x20 <= self.status < 0x40

    @property
    def has_failed(self) -> bool:
        return self.status >= 0x40


def submits(number: str, text: str, reference: int, *, report: bool = True, validity: int | None = 11) -> list[Submit]:
    """The parts of one message, in the default alphabet if it can be, else in UCS-2; longer than MAX_PARTS is cut.

    reference: 0 to 255, the same in every part. validity: TP-VP relative, 11 = one hour ((n + 1) × 5 minutes); None: as the network likes.
    """
    septets = septets_of(text)
    chunks = _septet_chunks(septets) if septets is not None else _unit_chunks(text)
    chunks = chunks[:MAX_PARTS]
    found = []
    for part, chunk in enumerate(chunks, 1):
        header = bytes((5, 0, 3, reference & 0xFF, len(chunks), part)) if len(chunks) > 1 else b""
        if septets is not None:
            skipped = -(-len(header) * 8 // 7)  # septets that the header takes up
            length, data = skipped + len(chunk), header + pack(chunk, skipped * 7 - len(header) * 8)
        else:
            length, data = len(header) + len(chunk), header + chunk
        first = 0x01 | (STATUS_REPORT if report else 0) | (VALIDITY if validity is not None else 0) | (HEADER if header else 0)
        head = bytes((first, 0)) + _address(number) + bytes((0, 0x00 if septets is not None else 0x08))
        tpdu = head + (b"" if validity is None else bytes((validity,))) + bytes((length,)) + data
        found.append(Submit("00" + tpdu.hex().upper(), len(tpdu)))  # 00: the service centre of the card
    return found


def read_incoming(digits: bytes) -> Deliver | StatusReport | None:
    """What a modem gives after +CMGR, +CMGL, +CMT or +CDS; None for what is neither."""
    try:
        octets = bytes.fromhex(digits.decode("ascii"))
        tpdu = octets[1 + octets[0] :]
        kind = tpdu[0] & 0x03
        if kind == 0x00:
            return _read_deliver(tpdu)
        return _read_report(tpdu) if kind == 0x02 else None
    except (ValueError, IndexError):
        return None


def _read_deliver(tpdu: bytes) -> Deliver:
    sender, at = _read_address(tpdu, 1)
    coding, sent_at, length = tpdu[at + 1], _read_time(tpdu[at + 2 : at + 9]), tpdu[at + 9]
    data = tpdu[at + 10 :]
    header = data[: 1 + data[0]] if tpdu[0] & HEADER and data else b""
    reference, parts, part = _read_header(header[1:])
    return Deliver(sender=sender, sent_at=sent_at, text=_read_text(coding, data, len(header), length), reference=reference, part=part, parts=parts)


def _read_text(coding: int, data: bytes, header: int, length: int) -> str | None:
    """By the data coding scheme; None for octets that are no text, and for compressed text."""
    group = coding >> 4
    if group < 4 and coding & 0x20:
        return None
    alphabet = {0xC: 0, 0xD: 0, 0xE: 2, 0xF: coding >> 2 & 1}.get(group, coding >> 2 & 3 if group < 4 else 0)
    if alphabet == 0:
        skipped = -(-header * 8 // 7)
        return text_of(unpack(data[header:], length - skipped, skipped * 7 - header * 8))
    if alphabet == 2:
        units = data[header:length] if length <= len(data) else data[header:]
        return units[: len(units) // 2 * 2].decode("utf-16-be", "replace")
    return None


def _read_report(tpdu: bytes) -> StatusReport:
    recipient, at = _read_address(tpdu, 2)
    return StatusReport(tpdu[1], recipient, tpdu[at + 14])


def _read_header(header: bytes) -> tuple[int, int, int]:
    """(reference, parts, part) of a concatenation element, 8 or 16 bit; 0, 1, 1 without one that makes sense."""
    at = 0
    while at + 2 <= len(header):
        element, size = header[at], header[at + 1]
        body = header[at + 2 : at + 2 + size]
        if (element, len(body)) in ((0x00, 3), (0x08, 4)):
            reference, parts, part = int.from_bytes(body[:-2]), body[-2], body[-1]
            if 1 <= part <= parts <= MAX_PARTS and parts > 1:
                return reference, parts, part
        at += 2 + size
    return 0, 1, 1


def _address(number: str) -> bytes:
    """TP-DA: digits swapped in pairs; + makes it international."""
    digits = number.removeprefix("+")
    swapped = bytes(int(pair[::-1], 16) for pair in _pairs(digits + "F" * (len(digits) % 2)))
    return bytes((len(digits), INTERNATIONAL if number.startswith("+") else 0x81)) + swapped


def _read_address(tpdu: bytes, at: int) -> tuple[str, int]:
    """(number or name, where what follows it begins)."""
    digits, kind = tpdu[at], tpdu[at + 1]
    size = (digits + 1) // 2
    octets = tpdu[at + 2 : at + 2 + size]
    if len(octets) < size:
        raise IndexError
    if kind & 0x70 == ALPHANUMERIC & 0x70:
        return text_of(unpack(octets, digits * 4 // 7)), at + 2 + size
    number = "".join(f"{octet & 0x0F:x}{octet >> 4:x}" for octet in octets)[:digits].rstrip("f")
    return ("+" if kind & 0x70 == 0x10 else "") + number, at + 2 + size


def _read_time(octets: bytes) -> datetime | None:
    """TP-SCTS: seven octets of swapped digits; the last is the zone in quarters of an hour, its highest bit the sign."""
    digits = [(octet & 0x0F) * 10 + (octet >> 4) for octet in octets[:6]]
    if len(octets) < 7:
        return None
    quarters = (octets[6] & 0x07) * 10 + (octets[6] >> 4)
    zone = timedelta(minutes=15 * quarters) * (-1 if octets[6] & 0x08 else 1)
    try:
        year, month, day, hour, minute, second = digits
        return datetime(2000 + year, month, day, hour, minute, second, tzinfo=timezone(zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _septet_chunks(septets: bytes) -> list[bytes]:
    if len(septets) <= WHOLE * 8 // 7:
        return [septets]
    chunks, begin = [], 0
    while begin < len(septets):
        end = begin + PART * 8 // 7
        if end < len(septets) and septets[end - 1] == ESCAPE:
            end -= 1  # an escape and its letter stay together
        chunks.append(septets[begin:end])
        begin = end
    return chunks


def _unit_chunks(text: str) -> list[bytes]:
    units = text.encode("utf-16-be", "replace")
    if len(units) <= WHOLE:
        return [units]
    chunks, begin = [], 0
    while begin < len(units):
        end = begin + PART
        if end < len(units) and 0xD8 <= units[end - 2] < 0xDC:
            end -= 2  # so do the halves of a letter beyond the first plane
        chunks.append(units[begin:end])
        begin = end
    return chunks


def _pairs(digits: str) -> list[str]:
    return [digits[at : at + 2] for at in range(0, len(digits), 2)]
