"""Credentials and challenges: what Docker's files hold, what registries ask, and where credentials may go."""

import base64
from typing import Any

import pytest

from knarr.images import credentials
from knarr.images.credentials import Challenge, Credentials

ANN = base64.b64encode(b"ann:se:cret").decode()


@pytest.mark.parametrize(
    ("auths", "domain", "expected"),
    [
        ({"ghcr.io": {"auth": ANN}}, "ghcr.io", Credentials("ann", "se:cret")),
        ({"https://ghcr.io": {"auth": ANN}}, "ghcr.io", Credentials("ann", "se:cret")),
        ({"https://index.docker.io/v1/": {"auth": ANN}}, "docker.io", Credentials("ann", "se:cret")),
        ({"localhost:5000": {"username": "a", "password": "b"}}, "localhost:5000", Credentials("a", "b")),
        ({"x.io": {"identitytoken": "t", "auth": ANN}}, "x.io", Credentials(identity_token="t")),
        ({"ghcr.io": {}}, "ghcr.io", None),
        ({"ghcr.io": {"auth": "%%%"}}, "ghcr.io", None),
        ({"ghcr.io": {"auth": base64.b64encode(b"nocolon").decode()}}, "ghcr.io", None),
        ({"ghcr.io": {"auth": ANN}}, "evil.io", None),
        ({"ghcr.io": {"auth": ANN}}, "ghcr.io.evil.io", None),
        ([], "ghcr.io", None),
        (None, "ghcr.io", None),
    ],
)
def test_a_docker_configuration_holds_credentials_per_registry(
    auths: Any, domain: str, expected: Credentials | None
) -> None:
    assert credentials.from_docker_config({"auths": auths}, domain) == expected


def test_a_helper_is_named_by_registry_or_for_all() -> None:
    config = {"credHelpers": {"gcr.io": "gcloud"}, "credsStore": "pass"}
    assert credentials.helper_for(config, "gcr.io") == ("docker-credential-gcloud", "gcr.io")
    assert credentials.helper_for(config, "docker.io") == ("docker-credential-pass", "https://index.docker.io/v1/")
    assert credentials.helper_for({}, "gcr.io") is None


def test_challenges_are_read_in_order() -> None:
    field = 'Bearer realm="https://auth.x/token",service="x",scope="repository:a/b:pull,push", Basic realm="x y"'
    assert credentials.challenges(field) == [
        Challenge("bearer", {"realm": "https://auth.x/token", "service": "x", "scope": "repository:a/b:pull,push"}),
        Challenge("basic", {"realm": "x y"}),
    ]
    assert credentials.challenges("") == credentials.challenges("nonsense") == []


@pytest.mark.parametrize(
    ("registry", "server", "may"),
    [
        ("registry-1.docker.io", "auth.docker.io", True),
        ("ghcr.io", "ghcr.io", True),
        ("registry.gitlab.com", "gitlab.com", True),
        ("registry.example.com", "evil.com", False),
        ("example.com", "evilexample.com", False),
        ("registry.shop.co.uk", "evil.co.uk", False),
        ("registry.shop.co.uk", "auth.shop.co.uk", True),
        ("registry.shop.com.au", "evil.com.au", False),
        ("registry.abc.io", "auth.abc.io", True),
        ("registry.k8s.io", "evil.io", False),
        ("com", "com", True),
        ("com", "evil.com", False),
        ("localhost", "localhost", True),
        ("localhost", "evil.com", False),
        ("127.0.0.1", "10.0.0.1", False),
    ],
)
def test_credentials_go_to_token_servers_of_the_same_domain(registry: str, server: str, may: bool) -> None:
    assert credentials.may_send(registry, server) is may


def test_credentials_do_not_print_themselves() -> None:
    assert "secret" not in f"{Credentials('ann', 'secret')!r} {Credentials('ann', 'secret')}"


@pytest.mark.parametrize(
    ("host", "near"),
    [("localhost", True), ("127.0.0.9", True), ("[::1]", True), ("localhost.evil.com", False), ("10.0.0.1", False)],
)
def test_only_the_loopback_is_near(host: str, near: bool) -> None:
    assert credentials.is_loopback(host) is near
