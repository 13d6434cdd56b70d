"""Dockerfiles within the size limit that would keep the node busy for hours, or fill its memory, end soon.

Each case once took minutes, or never ended. What they answer matters less than that they do.
"""

import contextlib

import pytest

from knarr.base.errors import KnarrError
from knarr.builder import graph
from knarr.builder.dockerfile import checks, parser
from knarr.builder.evaluate import SCRATCH, Arguments, evaluate

MANY = 8_000
CASES = {
    "environment": "".join(f"ENV a{number}={number}\n" for number in range(MANY)),
    "labels": "".join(f"LABEL a{number}={number}\n" for number in range(MANY)),
    "triggers": "ONBUILD RUN x\n" * MANY,
    "undefined": "".join(f"ENV a{number}=$u{number}\n" for number in range(3000)),
    "values that double": "ENV a0=x\n" + "".join(f"ENV a{n + 1}=$a{n}$a{n}\n" for n in range(20)) + "ENV b=$a20\n" * 90,
    "ports": "EXPOSE 1-65535 1-65535/udp\n" * MANY,
    "braces": "EXPOSE " + "${" * 200_000,
    "directory": "WORKDIR a\n" * MANY,
    "flags": "RUN " + "--mount=target=/x " * 50_000 + "y",
    "duration": "HEALTHCHECK --interval=" + "9" * 900_000 + " CMD x",
    "signal": "STOPSIGNAL " + "9" * 900_000,
    "retries": "HEALTHCHECK --retries=" + "9" * 900_000 + " CMD x",
    "word": "COPPPY" * 150_000 + " x",
    "flag": "RUN --" + "mmount" * 150_000 + " x",
    "quotes": "ENV a=" + "'\"" * 200_000,
    "pattern": "ARG a=" + "a" * 1500 + "\n" + "ENV b=${a//*a*b*a*b*a*b/x}\n" * 2,
    "long pattern": "ARG a=" + "a" * 4000 + " p=*" + "a" * 2000 + "b\n" + "ENV b=${a//*$p/x}\n",
    "long literal": "ARG a=" + "a" * 4000 + " p=*" + "a" * 1000 + "b\n" + "ENV b=${x:+${a//*$p/x}}\n" * 100,
    "reference": "RUN --mount=target=/x,from=" + "a" * 900_000 + " x",
}


@pytest.mark.parametrize("case", CASES)
def test_it_ends(case: str) -> None:
    with contextlib.suppress(KnarrError):
        dockerfile = parser.parse(f"FROM scratch\n{CASES[case]}\n")
        checks.check(dockerfile)
        graph.needed(dockerfile, Arguments(), "", {})
        evaluate(dockerfile.stages[0].instructions, SCRATCH, Arguments())


def test_a_directive_with_a_long_gap_ends() -> None:
    dockerfile = parser.parse("# syntax=a" + " " * 500_000 + "b\nFROM scratch\n")
    assert len(dockerfile.directives["syntax"]) == 500_002


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("STOPSIGNAL 65", "'65' is not a signal"),
        ("STOPSIGNAL SIGNOT", "'SIGNOT' is not a signal"),
        (f"STOPSIGNAL {'9' * 5000}-", "not a signal"),
        (f"HEALTHCHECK --retries={'9' * 30} CMD x", "--retries is a number from 1"),
        (f"HEALTHCHECK --interval={'9' * 400}s CMD x", "is not a duration"),
        ("EXPOSE 1-65535 1-65535/udp 1-65535/sctp\n" * 9, "ports and paths are too many"),
    ],
)
def test_what_is_too_much_is_told(line: str, what: str) -> None:
    with pytest.raises(KnarrError, match=what):
        evaluate(parser.parse(f"FROM scratch\n{line}\n").stages[0].instructions, SCRATCH, Arguments())
