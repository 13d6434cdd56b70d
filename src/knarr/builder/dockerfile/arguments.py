"""Small forms inside instructions: JSON arrays, quoted flag values, Go durations, `<<EOF` words."""

import json
import re
from collections.abc import Container

from knarr.base import durations
from knarr.base.errors import Invalid

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
    try:
        return durations.nanoseconds(text)
    except Invalid as error:
        raise ValueError(f"{text!r} is not a duration such as 30s or 1m30s") from error
