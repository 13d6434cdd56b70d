"""What a rule answers: one cause, what shows it, and what to do next."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """`rule` is the name of the table's row; `about` the objects it holds for, as `pod/web-1`."""

    cause: str
    evidence: tuple[str, ...]
    next_step: str
    rule: str = ""
    about: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All findings, the most specific first; none means that nothing is wrong. `looked_at` says what was read."""

    findings: tuple[Finding, ...]
    looked_at: tuple[str, ...]


def evidence(*lines: str) -> tuple[str, ...]:
    """The lines that say something, once each, without white space around them."""
    return tuple(dict.fromkeys(line.strip() for line in lines if line.strip()))
