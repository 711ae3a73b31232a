"""Certificates of ours: readable, with their key, and good for some weeks more."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from gateway.clock import utc_now
from gateway.config import Config
from gateway.doctor.finding import Finding, bad, good, note, unknown
from gateway.doctor.patient import Patient, reason

TOPIC = "certificates"
ENDS_SOON = timedelta(days=21)  # those that are renewed by themselves are so after 60 of 90 days
# Problems of `gateway check` that are told here, with what to do.
KEYS = re.compile(r": (console\.tls_(certificate|key)|responder_page\.(cert|key)_file): ")


def look(patient: Patient) -> Iterator[Finding]:
    """Each certificate that the configuration names."""
    now = utc_now()
    for key, certificate, private in certificates(patient.config):
        yield _look_at(patient, key, certificate, private, now)


def certificates(config: Config) -> Iterator[tuple[str, Path, Path | None]]:
    """(key, certificate, its private key): of the console, the responder page, TLS lines, what we show a broker, and whom we trust there."""
    folder, console, page = config.folder, config.console, config.responder_page
    if console.tls_certificate and console.tls_key:
        yield "console.tls_certificate", folder / console.tls_certificate, folder / console.tls_key
    if page.cert_file and page.key_file:
        yield "responder_page.cert_file", folder / page.cert_file, folder / page.key_file
    sections: list[tuple[str, object, object, object]] = []
    for number, line in enumerate(config.line, 1):
        options, key = line.options, f"line[{number}]"
        sections.append((f"{key}.options", options.get("certificate_file"), options.get("key_file"), options.get("ca_file")))
        also = options.get("also")
        for address in (line.listen, *(also if isinstance(also, list | tuple) else ())):
            if isinstance(address, str) and address.startswith("ssl:"):
                words = dict(word.split("=", 1) for word in address.split(":") if "=" in word)
                mine = words.get("certKey") or words.get("privateKey", "")
                if mine:
                    yield f"{key}.listen", folder / mine, folder / words.get("privateKey", mine)
    if (mqtt := config.dispatch.mqtt) is not None:
        sections.append(("dispatch.mqtt", getattr(mqtt, "certificate_file", ""), getattr(mqtt, "key_file", ""), mqtt.ca_file))
    for key, mine_file, private, trusted in sections:
        if isinstance(mine_file, str) and mine_file and isinstance(private, str):
            yield f"{key}.certificate_file", folder / mine_file, folder / private
        if isinstance(trusted, str) and trusted:
            yield f"{key}.ca_file", folder / trusted, None


def _look_at(patient: Patient, key: str, file: Path, private: Path | None, now: datetime) -> Finding:
    user = patient.user
    for one in (file, *((private,) if private is not None else ())):
        if not one.exists():
            return bad(TOPIC, key, "certificate_missing", file=one)
        if not user.may(one, 4):
            return bad(TOPIC, key, "certificate_unreadable", file=one, user=user.name)
    try:
        certificate = x509.load_pem_x509_certificate(file.read_bytes())
    except PermissionError as error:
        return unknown(TOPIC, key, "certificate_not_for_us", file=file, reason=reason(error), user=user.name)
    except (OSError, ValueError):
        return bad(TOPIC, key, "certificate_no_pem", file=file)
    if private is not None:
        try:
            ours = load_pem_private_key(private.read_bytes(), None).public_key()
        except PermissionError as error:
            return unknown(TOPIC, key, "certificate_not_for_us", file=private, reason=reason(error), user=user.name)
        except (OSError, ValueError, TypeError):
            return bad(TOPIC, key, "certificate_bad_key", file=private)
        form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        if ours.public_bytes(*form) != certificate.public_key().public_bytes(*form):
            return bad(TOPIC, key, "certificate_other_key", file=file, key=private)
    ends, begins = certificate.not_valid_after_utc, certificate.not_valid_before_utc
    facts = {"file": file, "ends": ends.date().isoformat(), "begins": begins.date().isoformat()}
    if ends < now:
        return bad(TOPIC, key, "certificate_expired", **facts)
    if begins > now:
        return bad(TOPIC, key, "certificate_not_yet", **facts)
    if ends < now + ENDS_SOON:
        return note(TOPIC, key, "certificate_ends", days=(ends - now).days, **facts)
    return good(TOPIC, key, "certificate_good", **facts)
