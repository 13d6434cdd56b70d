"""Users of an image and modes of --chmod."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knarr.base.errors import Invalid
from knarr.builder import modes, users
from knarr.builder.users import Identity

PASSWD = "root:x:0:0:root:/root:/bin/sh\napp:x:100:101::/home/app:\n1000:x:0:0::/:\nbroken\n"
GROUP = "root:x:0:\nstaff:x:50:app,other\napp:x:101:\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("root", Identity(0, 0)),
        ("app", Identity(100, 101, (50,))),
        ("app:staff", Identity(100, 50)),
        ("100", Identity(100, 101, (50,))),
        ("77", Identity(77, 0)),
        ("77:88", Identity(77, 88)),
        (":50", Identity(0, 50)),
    ],
)
def test_names_and_numbers_become_numbers(text: str, expected: Identity) -> None:
    assert users.identity(text, PASSWD, GROUP) == expected


@pytest.mark.parametrize("text", ["nobody", "app:none", "-1", "4294967296", "9" * 30, "\u0661"])
def test_unknown_names_and_bad_numbers_are_refused(text: str) -> None:
    with pytest.raises(Invalid):
        users.identity(text, PASSWD, GROUP)


@pytest.mark.parametrize(("text", "expected"), [("7", (7, 7)), ("app", (100, 101)), ("7:8", (7, 8))])
def test_an_owner_that_is_a_number_alone_is_the_group_too(text: str, expected: tuple[int, int]) -> None:
    assert users.owner(text, PASSWD, GROUP) == expected


@pytest.mark.parametrize(
    ("mode", "text", "is_directory", "expected"),
    [
        (0o644, "750", False, 0o750),
        (0o644, "04755", False, 0o4755),
        (0o644, "u+x", False, 0o744),
        (0o777, "go-w", False, 0o755),
        (0o600, "u=rwX,go=rX", False, 0o644),
        (0o700, "u=rwX,go=rX", True, 0o755),
        (0o644, "a+x", False, 0o755),
        (0o755, "u+s,+t", False, 0o5755),
    ],
)
def test_modes_are_octal_or_symbolic(mode: int, text: str, is_directory: bool, expected: int) -> None:
    assert modes.changed(mode, text, is_directory=is_directory) == expected


@given(st.text(max_size=8))
def test_any_mode_is_read_or_refused(text: str) -> None:
    try:
        mode = modes.changed(0o644, text, is_directory=False)
    except Invalid:
        return
    assert 0 <= mode <= 0o7777


@pytest.mark.parametrize("number", ["9" * 5000, "4294967295"])
def test_numbers_that_no_user_has_are_told_or_passed_over(number: str) -> None:
    with pytest.raises(Invalid, match="is above 4294967294"):
        users.identity(number, PASSWD, GROUP)
    hostile = f"root:x:{number}:{number}::/:\nroot:x:0:0::/root:\n"
    assert users.identity("root", hostile, f"wheel:x:{number}:root\n") == users.Identity(0, 0)
