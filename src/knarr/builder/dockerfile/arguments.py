"""Small forms inside instructions: JSON arrays, quoted flag values, Go durations, `<<EOF` words."""

import json
import re
from collections.abc import Container

_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_DURATION_LENGTH_MAX = 64
_HEREDOC = re.compile(r"[0-9]*<<-?(['\"]?)([^<'\"]+)\1")


def json_words(text: str) -> tuple[str, ...] | None:
    """The strings of a JSON array; None if the text is anything else (then it is the shell form)."""
    if not text.lstrip().startswith("["):
        return None
    try:
        words = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        return None
    return tuple(words)


def unquoted(text: str, escape: str) -> str:
    """The text without quotes and escapes; variables stay."""
    plain: list[str] = []
    quote, position = "", 0
    while position < len(text):
        character = text[position]
        if character == escape and quote != "'" and position + 1 < len(text):
            position += 1
            plain.append(text[position])
        elif quote and character == quote:
            quote = ""
        elif not quote and character in "'\"":
            quote = character
        else:
            plain.append(character)
        position += 1
    return "".join(plain)


def heredoc_name(word: str, known: Container[str]) -> str:
    """The here-document that a word stands for; "" if it is another word."""
    match = _HEREDOC.fullmatch(word)
    return match[2] if match and match[2] in known else ""


def duration(text: str) -> int:
    """Nanoseconds of a Go duration (`1m30s`). Raises ValueError."""
    parts = _DURATION.findall(text) if len(text) <= _DURATION_LENGTH_MAX else []
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is not a duration such as 30s or 1m30s")
    return sum(int(float(number) * _UNITS[unit]) for number, unit in parts)
