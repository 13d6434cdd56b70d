"""Credentials of a push or pull come from the user's Docker configuration, or from the helper that it names."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from knarr.base.errors import KnarrError, NotFound, Unavailable
from knarr.cli import transfer

SOURCE = str(Path(__file__).parents[3] / "src")
ASK = "import json, sys; from knarr.cli import transfer; print(json.dumps(transfer._credentials(sys.argv[1])))"
HELPER = """#!/bin/sh
read -r server
case "$1 $server" in
  "get vault.example") echo '{"Username": "ann", "Secret": "from the vault"}';;
  "get token.example") echo '{"Username": "<token>", "Secret": "refresh"}';;
  *) echo 'credentials not found in native keychain'; exit 1;;
esac
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    helper = tmp_path / "docker-credential-vault"
    helper.write_text(HELPER)
    helper.chmod(0o755)
    return tmp_path


def credentials(home: Path, config: object, image: str) -> Any:
    """What a process with that configuration would send to the node."""
    (home / "config.json").write_text(json.dumps(config))
    path = f"{home}:{os.environ['PATH']}"
    environment = {"PATH": path, "DOCKER_CONFIG": str(home), "PYTHONPATH": SOURCE, "HOME": str(home)}
    command = [sys.executable, "-c", ASK, image]
    return json.loads(subprocess.run(command, env=environment, check=True, capture_output=True, timeout=30).stdout)


def test_a_helper_is_asked_for_its_registry_and_the_store_for_the_others(home: Path) -> None:
    per_registry = {"credHelpers": {"vault.example": "vault"}}
    assert credentials(home, per_registry, "vault.example/web:1") == {"username": "ann", "password": "from the vault"}
    store = {"credsStore": "vault"}
    assert credentials(home, store, "token.example/web") == {"username": "<token>", "password": "refresh"}


def test_what_the_helper_does_not_know_the_file_may(home: Path) -> None:
    auths = {"other.example": {"auth": "eDp5"}}
    assert credentials(home, {"auths": auths, "credsStore": "vault"}, "other.example/web") == {"auths": auths}
    assert credentials(home, {"auths": auths, "credsStore": "gone"}, "other.example/web") == {"auths": auths}


@pytest.mark.parametrize("config", [[], {}, {"auths": []}])
def test_a_configuration_without_credentials_gives_none(home: Path, config: object) -> None:
    assert not credentials(home, config, "vault.example/web").get("auths")


def test_a_name_without_a_registry_that_is_not_reached_is_shown_the_clusters_own() -> None:
    error = Unavailable("registry-1.docker.io:443: Name or service not known")
    failure = transfer.refused("push", "web", error, "a-cluster-nobody-made")
    assert (failure.what, failure.why) == ("the registry docker.io is not reached", str(error))
    assert failure.todo == (
        "a name without a registry means docker.io; for the cluster's own: knarr push localhost:5000/web:latest, after "
        "knarr tag web:latest localhost:5000/web:latest"
    )


@pytest.mark.parametrize(
    ("verb", "image", "error", "todo"),
    [
        ("push", "localhost:9/web", Unavailable("refused"), "see that localhost:9 runs, and that this machine reaches"),
        ("pull", "docker.io/web", Unavailable("refused"), "see that docker.io runs"),
        ("pull", "localhost:9/web", NotFound("MANIFEST_UNKNOWN"), "curl http://localhost:9/v2/_catalog"),
        ("push", "localhost:9/web", NotFound("image is not here"), "knarr images lists the images here"),
    ],
)
def test_what_to_do_depends_on_the_registry_that_was_named(verb: str, image: str, error: KnarrError, todo: str) -> None:
    assert todo in transfer.refused(verb, image, error, "a-cluster-nobody-made").todo
