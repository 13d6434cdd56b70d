"""What is said of an image that is not here and that its registry does not give."""

import pytest

from knarr.base.errors import Unavailable
from knarr.builder import bases
from knarr.oci import reference as references


@pytest.mark.parametrize(
    ("wanted", "known", "near"),
    [
        ("busybx", ["busybox:latest", "nginx:latest"], "; did you mean busybox?"),
        ("nginx:1.91", ["nginx:1.19", "busybox:latest"], "; did you mean nginx:1.19?"),
        ("biuld", ["build"], "; did you mean build?"),
        ("postgres", ["busybox:latest"], ""),
    ],
)
def test_a_name_that_is_like_one_that_is_here_is_asked_about(wanted: str, known: list[str], near: str) -> None:
    text = bases.absent(references.parse(wanted), Unavailable("Name or service not known"), known)
    assert text == f"it is not here, and docker.io does not give it: Name or service not known{near}"
