"""Users, tokens and options of the registry, on paper: who is let in, with what, and which settings go together."""

import asyncio
import base64
import json
from collections import Counter
from pathlib import Path

import pytest

from knarr.base.errors import Invalid, TooMany
from knarr.images.local_content import LocalContent
from knarr.images.names import Names
from knarr.registry import grants, options, passwords
from knarr.registry.access import TOKEN_SECONDS, Access, Mode
from knarr.registry.errors import Failure
from knarr.registry.grants import ANYBODY, Scope
from knarr.registry.options import Options
from knarr.wire.http import Request

USERS = {"ann": passwords.hashed("secret", rounds=4)}
PULL = Scope("repository", "web", frozenset({"pull"}))
PUSH = Scope("repository", "web", frozenset({"pull", "push"}))
URL = "https://localhost:5000"


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def access(mode: Mode = "token", *, anonymous_pull: bool = False, clock: Clock | None = None) -> Access:
    return Access(USERS, "localhost:5000", mode=mode, anonymous_pull=anonymous_pull, now=clock or Clock())


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def asking(authorization: str = "", query: str = "", body: bytes = b"") -> Request:
    fields = (("authorization", authorization),) if authorization else ()
    return Request("POST" if body else "GET", "/token", query, fields, body)


async def token(gate: Access, authorization: str = "", query: str = "", body: bytes = b"") -> str:
    answer = await gate.token(asking(authorization, query, body))
    assert isinstance(answer.body, bytes)
    return f"Bearer {json.loads(answer.body)['token']}"


async def refusal(gate: Access, authorization: str, wanted: Scope = PULL) -> tuple[int, str]:
    with pytest.raises(Failure) as refused:
        await gate.grants(asking(authorization), wanted, URL)
    return refused.value.status, dict(refused.value.headers)["www-authenticate"]


async def test_a_password_opens_and_a_wrong_one_does_not() -> None:
    gate = access("basic")
    assert (await gate.grants(asking(basic("ann", "secret")), PUSH, URL)).allow(PUSH)
    for wrong in ("", basic("ann", "Secret"), basic("bob", "secret"), basic("ann", ""), "Basic ???", "Bearer x.y.z"):
        assert await refusal(gate, wrong) == (401, 'Basic realm="localhost:5000"')
    assert (await gate.grants(asking(basic("ann", "secret")), PUSH, URL)).allow(PUSH)  # remembered


async def test_the_challenge_says_where_a_token_is_and_for_what() -> None:
    status, challenge = await refusal(access(), "", PUSH)
    scope = 'scope="repository:web:pull,push"'
    assert (status, challenge) == (401, f'Bearer realm="{URL}/token",service="localhost:5000",{scope}')
    assert await refusal(access(), "", ANYBODY) == (401, f'Bearer realm="{URL}/token",service="localhost:5000"')


async def test_a_token_is_good_for_its_scopes_alone() -> None:
    gate = access()
    held = await token(gate, basic("ann", "secret"), "service=localhost:5000&scope=repository:web:pull")
    assert (await gate.grants(asking(held), PULL, URL)).allow(PULL)
    status, challenge = await refusal(gate, held, PUSH)
    assert (status, challenge.endswith('error="insufficient_scope"')) == (401, True)
    assert (await refusal(gate, held, Scope("repository", "other", frozenset({"pull"}))))[0] == 401


async def test_a_token_ends_and_another_process_does_not_know_it() -> None:
    clock = Clock()
    gate = access(clock=clock)
    held = await token(gate, basic("ann", "secret"), "scope=repository:web:pull")
    clock.now += TOKEN_SECONDS - 1
    assert (await gate.grants(asking(held), PULL, URL)).allow(PULL)
    assert (await refusal(access(clock=clock), held))[0] == 401
    clock.now += 1
    assert (await refusal(gate, held))[0] == 401


@pytest.mark.parametrize("forged", ["", ".", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", "é.é.é"])
async def test_a_forged_token_is_none(forged: str) -> None:
    assert (await refusal(access(), f"Bearer {forged}"))[0] == 401


async def test_a_changed_token_is_none() -> None:
    gate = access()
    head, body, seal = (await token(gate, basic("ann", "secret"), "scope=repository:web:pull"))[7:].split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    claims["access"][0]["actions"] = ["delete", "pull", "push"]
    changed = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    assert (await refusal(gate, f"Bearer {head}.{changed}.{seal}"))[0] == 401


async def test_a_form_gets_a_token_too() -> None:
    gate = access()
    form = b"grant_type=password&service=localhost:5000&username=ann&password=secret&scope=repository:web:push,pull"
    assert (await gate.grants(asking(await token(gate, body=form)), PUSH, URL)).allow(PUSH)
    with pytest.raises(Failure, match="grant_type"):
        await gate.token(asking(body=b"grant_type=refresh_token&refresh_token=x"))
    with pytest.raises(Failure, match="wrong"):
        await gate.token(asking(body=form.replace(b"secret", b"guess")))


async def test_nobody_may_pull_where_that_is_said_and_nothing_else() -> None:
    gate = access(anonymous_pull=True)
    held = await token(gate, query="scope=repository:web:pull,push,delete")
    assert (await gate.grants(asking(held), PULL, URL)).allow(PULL)
    assert (await refusal(gate, held, PUSH))[0] == 401
    assert (await gate.grants(asking(), PULL, URL)).allow(PULL)
    assert (await refusal(gate, "", PUSH))[0] == 401
    with pytest.raises(Failure):
        await access().token(asking(query="scope=repository:web:pull"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("repository:a/b:pull,push", ["repository:a/b:pull,push"]),
        ("repository:host:5000/a:pull", ["repository:host:5000/a:pull"]),
        ("registry:catalog:*", ["registry:catalog:*"]),
        ("repository:a:pull repository:b:push", ["repository:a:pull", "repository:b:push"]),
        ("repository:a:fly", []),
        ("repository::pull", []),
        ("plugin:a:pull", []),
        ("", []),
    ],
)
def test_scopes_are_read(text: str, found: list[str]) -> None:
    assert [str(scope) for scope in grants.scopes([text])] == found


def test_a_password_file_keeps_the_others(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text("# the crew\nbob:$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\n")
    passwords.write(path, "ann", "secret")
    users = passwords.read(path)
    assert sorted(users) == ["ann", "bob"]
    assert passwords.is_right("U*U", users["bob"])  # a known answer of crypt_blowfish
    assert [passwords.is_right(guess, users["ann"]) for guess in ("secret", "secre", "")] == [True, False, False]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "line", ["ann:secret", "ann:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=", "ann:$1$abc$def", "a b:$2y$", "x"]
)
def test_a_weak_or_broken_line_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "users").write_text(f"\n{line}\n")
    with pytest.raises(Invalid, match="users:2"):
        passwords.read(tmp_path / "users")


@pytest.mark.parametrize(
    ("told", "fault"),
    [
        ({"listen": "0.0.0.0"}, "TLS and users"),  # refused
        ({"listen": "0.0.0.0", "htpasswd": "users"}, "TLS and users"),  # refused
        ({"tls_key": "key.pem"}, "useless without"),
        ({"quota_bytes": -1}, "below 0"),
        ({"proxies": ["http://under_score"]}, "not a registry"),
        ({"proxies": ["http://[bad"]}, "not a registry"),
        ({"auth": "none"}, "auth"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_options_that_do_not_go_together_are_named(tmp_path: Path, told: dict[str, object], fault: str) -> None:
    (tmp_path / "registry.json").write_text(json.dumps(told))
    with pytest.raises(Invalid, match=fault):
        options.read(tmp_path / "registry.json")


@pytest.mark.parametrize(
    ("told", "fault"),
    [
        ({"htpasswd": "/absent/users"}, "htpasswd: /absent/users: No such file"),
        ({"docker_config": "/absent/c", "proxies": ["docker.io"]}, "docker_config: /absent/c: No such file"),
        ({"tls_certificate": "/absent/c", "tls_key": "/absent/k"}, "tls_key: /absent/c and /absent/k: No such file"),
        ({"tls_certificate": __file__, "tls_key": __file__}, "are not a certificate and its key in PEM"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_its_option(
    tmp_path: Path, told: dict[str, object], fault: str
) -> None:
    known = options.changed(Options(), {k: tuple(v) if isinstance(v, list) else v for k, v in told.items()})

    def put_together() -> None:
        options.gates(known, LocalContent(tmp_path), Names(), "here", tmp_path / "registries.json")
        options.tls_context(known)

    with pytest.raises(Invalid, match=fault):
        put_together()
    with pytest.raises(Invalid, match="Is a directory"):
        options.read(tmp_path)


def test_a_missing_file_changes_nothing_and_flags_win(tmp_path: Path) -> None:
    assert options.read(tmp_path / "registry.json") == Options()
    assert options.changed(Options(quota_bytes=1), {"quota_bytes": 2}).quota_bytes == 2


async def test_guesses_beyond_a_bound_are_sent_away() -> None:
    gate = access("basic")
    guesses = [gate.grants(asking(basic("ann", f"guess-{number}")), PULL, URL) for number in range(80)]
    answers = await asyncio.gather(*guesses, return_exceptions=True)
    assert Counter(type(answer) for answer in answers) == {Failure: 64, TooMany: 16}
    assert (await gate.grants(asking(basic("ann", "secret")), PULL, URL)).allow(PULL)
