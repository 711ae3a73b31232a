"""Text as Chinese telephones, trunks and devices send it."""


def read_text(octets: bytes) -> str:
    """UTF-8, else GB18030, as old gateways and telephones write names; what is neither is marked as unreadable, never lost."""
    for charset in ("utf-8", "gb18030"):
        try:
            return octets.decode(charset)
        except UnicodeDecodeError:
            continue
    return octets.decode("utf-8", "replace")
