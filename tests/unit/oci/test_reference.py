"""References: Docker's normal form, the familiar form, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knarr.base.errors import Invalid
from knarr.oci import reference

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "normal", "familiar"),
    [
        ("nginx", "docker.io/library/nginx:latest", "nginx:latest"),
        ("nginx:1.27", "docker.io/library/nginx:1.27", "nginx:1.27"),
        ("library/nginx", "docker.io/library/nginx:latest", "nginx:latest"),
        ("docker.io/nginx", "docker.io/library/nginx:latest", "nginx:latest"),
        ("index.docker.io/library/nginx", "docker.io/library/nginx:latest", "nginx:latest"),
        ("acme/web", "docker.io/acme/web:latest", "acme/web:latest"),
        ("localhost/web", "localhost/web:latest", "localhost/web:latest"),
        ("localhost:5000/web:v1", "localhost:5000/web:v1", "localhost:5000/web:v1"),
        ("web:5000/x", "web:5000/x:latest", "web:5000/x:latest"),
        ("[::1]:5000/x", "[::1]:5000/x:latest", "[::1]:5000/x:latest"),
        ("ghcr.io/a/b/c_d__e.f-g", "ghcr.io/a/b/c_d__e.f-g:latest", "ghcr.io/a/b/c_d__e.f-g:latest"),
        (f"nginx@{DIGEST}", f"docker.io/library/nginx@{DIGEST}", f"nginx@{DIGEST}"),
        (f"nginx:1@{DIGEST}", f"docker.io/library/nginx:1@{DIGEST}", f"nginx:1@{DIGEST}"),
    ],
)
def test_a_reference_has_one_normal_and_one_familiar_form(text: str, normal: str, familiar: str) -> None:
    parsed = reference.parse(text)
    assert (str(parsed), parsed.familiar) == (normal, familiar)
    assert reference.parse(normal) == reference.parse(familiar) == parsed


@pytest.mark.parametrize(
    "text",
    [
        "", "/", ":tag", "@", "a//b", "a/", "/a", "a:", "a:b:c", "UPPER", "localhost:5000/UPPER", "a b", "a\n",
        "nginx:latest\n",
        "a..b", "a.-b", "-a", "a-", "a___b", "a" * 256, "x/" + "a" * 255, "nginx:" + "t" * 129, "nginx:.a", "nginx:-a",
        "nginx@sha256:abc", "nginx@" + "a" * 64, "nginx@sha256:" + "A" * 64, "nginx@md5:" + "a" * 32, "a" * 64,
        "exa mple.com/x", "example..com/x", "example.com:port/x", "example.com:123456/x", "../x", "a/../b",
        "٣/x", "a@" + DIGEST + "@" + DIGEST,
    ],
)  # fmt: skip
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        reference.parse(text)


def test_an_upper_case_name_is_told_the_rule() -> None:
    with pytest.raises(Invalid, match="lower case"):
        reference.parse("Web")


@given(st.text(max_size=80))
def test_any_text_is_a_reference_or_invalid(text: str) -> None:
    try:
        parsed = reference.parse(text)
    except Invalid:
        return
    assert reference.parse(str(parsed)) == parsed


def test_another_tag_must_be_a_tag() -> None:
    parsed = reference.parse("nginx")
    assert str(parsed.tagged("v2")) == "docker.io/library/nginx:v2"
    with pytest.raises(Invalid):
        parsed.tagged("v 2")
