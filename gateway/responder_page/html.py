"""The shell of every page: one column, plain forms, style and script inline under their hashes, nothing from anywhere else."""

import base64
import hashlib
from collections.abc import Iterable
from html import escape
from pathlib import Path

from gateway.responder_page.words import Words

_STATIC = Path(__file__).parent / "static"
STYLE = (_STATIC / "page.css").read_text("utf-8")
SCRIPT = (_STATIC / "page.js").read_text("utf-8")


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


HEADERS = {
    "content-security-policy": f"default-src 'none'; style-src 'sha256-{_hash(STYLE)}'; script-src 'sha256-{_hash(SCRIPT)}'; connect-src 'self';"
    " img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",  # the address is the key to the page
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "x-robots-tag": "noindex, nofollow, noarchive",
    "permissions-policy": "geolocation=(), camera=(), microphone=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
SECURE = {"strict-transport-security": "max-age=31536000"}


def document(words: Words, title: str, parts: Iterable[str], *, desk: str, state: str = "") -> bytes:
    """A whole page. `state`: changes when the page would look different; the script looks at it and loads the page anew."""
    other = "en" if words.language == "zh-CN" else "zh-CN"
    body = "\n".join(part for part in parts if part)
    return (
        f'<!DOCTYPE html>\n<html lang="{words.language}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<meta name="referrer" content="no-referrer">\n'
        f'<meta name="format-detection" content="telephone=no">\n<link rel="icon" href="data:,">\n<title>{escape(title)}</title>\n'
        f"<style>{STYLE}</style>\n</head>\n"
        f'<body data-state="{escape(state)}">\n<header><span>12349</span>'
        f' <a href="?lang={other}" lang="{other}">{words("page.other_language")}</a></header>\n'
        f'<main>\n<h1>{escape(title)}</h1>\n<p id="offline" role="status" hidden>{escape(words("page.offline"))}</p>\n{body}\n</main>\n'
        f'<footer><a class="button call" href="tel:{escape(desk)}">{escape(words("page.call_desk", desk=desk))}</a>\n'
        f'<p><a href="?lang={words.language}">{escape(words("page.refresh"))}</a></p></footer>\n'
        f"<script>{SCRIPT}</script>\n</body>\n</html>\n"
    ).encode()


def paragraph(text: str, css: str = "") -> str:
    """A sentence."""
    return f"<p{_css(css)}>{escape(text)}</p>" if text else ""


def facts(rows: Iterable[tuple[str, str]], css: str = "") -> str:
    """A list of names and values; values are HTML already."""
    shown = "".join(f"<div><dt>{escape(name)}</dt><dd>{value}</dd></div>" for name, value in rows if value)
    return f"<dl{_css(css)}>{shown}</dl>" if shown else ""


def button(nonce: str, do: str, label: str, css: str = "", more: str = "") -> str:
    """A form that sends one answer. It has no `action`: it goes back to the address of the page, which is the link."""
    hidden = f'<input type="hidden" name="nonce" value="{escape(nonce)}">' if nonce else ""
    return f'<form method="post">{hidden}<input type="hidden" name="do" value="{escape(do)}">{more}<button{_css(css)}>{escape(label)}</button></form>'


def fold(label: str, inner: str) -> str:
    """Something that is opened first, so that no thumb presses it by mistake. Old browsers show it open."""
    return f"<details><summary>{escape(label)}</summary>{inner}</details>"


def choices(legend: str, name: str, options: Iterable[tuple[str, str]]) -> str:
    """One of several, the first chosen."""
    rows = (
        f'<label class="choice"><input type="radio" name="{name}" value="{escape(value)}"{" checked" if not number else ""}> {escape(label)}</label>'
        for number, (value, label) in enumerate(options)
    )
    return f"<fieldset><legend>{escape(legend)}</legend>{''.join(rows)}</fieldset>"


def note_field(label: str, limit: int) -> str:
    """A few words of one's own."""
    return f'<label class="note">{escape(label)}<textarea name="note" rows="3" maxlength="{limit}"></textarea></label>'


def _css(css: str) -> str:
    return f' class="{css}"' if css else ""
