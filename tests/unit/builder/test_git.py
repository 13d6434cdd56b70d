"""Git URLs, what `ls-remote` says, and which host git would connect to."""

import base64
from pathlib import Path

import pytest

from knarr.base.errors import Forbidden, Invalid
from knarr.builder import git
from knarr.builder.git import GitSource


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://h/r.git", GitSource("https://h/r.git")),
        ("https://h/r.git#v1", GitSource("https://h/r.git", "v1")),
        ("https://h/r.git#v1:a/b", GitSource("https://h/r.git", "v1", "a/b")),
        ("https://h/r.git#:dir", GitSource("https://h/r.git", "", "dir")),
        ("git@h:o/r.git#main:d", GitSource("git@h:o/r.git", "main", "d")),
        ("ssh://git@h/o/r", GitSource("ssh://git@h/o/r")),
        ("git://h/r", GitSource("git://h/r")),
        ("https://h/r.git?branch=b&subdir=/d", GitSource("https://h/r.git", "b", "d")),
        ("https://h/r.git?tag=t&checksum=abc", GitSource("https://h/r.git", "t", checksum="abc")),
        ("https://h/r.git?keep-git-dir=1", GitSource("https://h/r.git", keeps_git=True)),
        ("https://h/r.git?submodules=false", GitSource("https://h/r.git", submodules=False)),
        ("https://h/file.tar.gz", None),
        ("https://h/r.git/file", None),
        ("dir/r.git", None),
        ("-oProxyCommand@h:o/r.git", None),
        (".", None),
    ],
)
def test_a_url_means_a_repository_or_something_else(text: str, expected: GitSource | None) -> None:
    assert git.parse(text) == expected


def test_an_unknown_option_of_a_git_url_is_refused() -> None:
    with pytest.raises(Invalid, match="'reff' is no option"):
        git.parse("https://h/r.git?reff=x")


@pytest.mark.parametrize(
    ("remote", "expected"),
    [
        ("https://h/r.git", ("h", 443)),
        ("https://u:p@h:8443/r.git", ("h", 8443)),
        ("git@h.example:o/r.git", ("h.example", 22)),
        ("ssh://git@h:2222/r", ("h", 2222)),
        ("git://h/r", ("h", 9418)),
        ("/local/r.git", ("", 0)),
    ],
)
def test_the_host_that_git_connects_to_is_known(remote: str, expected: tuple[str, int]) -> None:
    assert git.host_of(remote) == expected


@pytest.mark.parametrize("remote", ["https://h:port/r.git", "https://[h/r.git", "https://h:99999/r.git"])
def test_a_remote_that_is_no_url_is_refused(remote: str) -> None:
    source = git.parse(remote)
    assert source is not None
    with pytest.raises(Invalid, match="is not a git URL"):
        git.host_of(source.remote)


def test_submodules_are_where_the_index_has_them_and_called_as_gitmodules_says() -> None:
    staged = "100644 aa 0\t.gitmodules\x00160000 bb 0\tlib/a b\x00120000 cc 0\tlink\x00"
    assert git.linked(staged) == {"lib/a b"}
    told = "submodule.a.b.path\nlib/a b\x00submodule.x\ny.path\n../../out\x00"
    assert git.values(told)["a.b"] == "lib/a b"


def test_a_ref_is_a_branch_then_what_a_tag_points_at_then_a_whole_name() -> None:
    listed = "a\tHEAD\nb\trefs/heads/x\nc\trefs/tags/x\nd\trefs/tags/x^{}\ne\trefs/tags/y\n"
    found = [git.commit_in(listed, ref) for ref in ("x", "y", "HEAD", "refs/tags/x", "z")]
    assert found == ["b", "e", "a", "d", ""]


def test_ssh_of_the_node_uses_none_of_its_own_keys_and_the_address_that_was_checked() -> None:
    environment = git._environment(git.Access(_refused, agent=Path("/run/a")), "git@h:o/r.git", "192.0.2.7")
    command = environment["GIT_SSH_COMMAND"].split()
    assert command[:3] == ["ssh", "-F", "/dev/null"]
    assert {"-oIdentityFile=none", "-oHostName=192.0.2.7", "-oHostKeyAlias=h"} <= set(command)
    assert (environment["SSH_AUTH_SOCK"], environment["HOME"]) == ("/run/a", "/nonexistent")


def test_a_token_travels_in_the_environment_to_its_host_alone() -> None:
    access = git.Access(_refused, token="t0ken")
    environment = git._environment(access, "https://h/r.git", "192.0.2.7")
    assert environment["GIT_CONFIG_KEY_0"] == "http.https://h/.extraHeader"
    assert base64.b64decode(environment["GIT_CONFIG_VALUE_0"].rpartition(" ")[2]) == b"x-access-token:t0ken"
    assert "GIT_CONFIG_COUNT" not in git._environment(access, "http://h/r.git", "192.0.2.7")


async def _refused(host: str, port: int) -> object:
    raise Forbidden(f"{host}:{port}")
