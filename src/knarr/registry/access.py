"""Who may use the registry: Basic and Bearer authentication against a list of users.

With `basic` every request carries name and password; with `token` a client trades them at /token for a token that is
good for the scopes it asked for (distribution project, token authentication). Every user may do everything; those
without a name may pull where that is switched on. Passwords are checked by registry/passwords.py, once in a while:
what was right is remembered under a keyed hash.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Literal
from urllib.parse import parse_qsl

from knarr.base.errors import BadRequest, TooMany
from knarr.registry import grants, passwords
from knarr.registry.errors import Failure
from knarr.registry.grants import ANYBODY, Grants, Scope
from knarr.wire.http import Request, Response

Mode = Literal["basic", "token"]
TOKEN_PATH = "/token"  # noqa: S105  a path
TOKEN_SECONDS = 300
_REMEMBERED_MAX = 1024
_CHECKS_AT_ONCE, _CHECKS_WAITING_MAX = 2, 64
_FORM_MAX = 16 << 10
_FIELDS_MAX = 128
_NOBODY_HASH = "$2y$10$" + "." * 53
"""Checked for users who are not there, so that they take as long as others."""


class Access:
    """The gate of one registry. Its tokens are signed with a key of this process: a restart asks for new ones."""

    def __init__(
        self,
        users: Mapping[str, str],
        service: str,
        *,
        mode: Mode = "basic",
        anonymous_pull: bool = False,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._users = users
        self._service = service
        self._mode = mode
        self._anonymous = frozenset({"pull"}) if anonymous_pull else frozenset[str]()
        self._now = now
        self._key = os.urandom(32)
        self._remembered: OrderedDict[bytes, str] = OrderedDict()
        self._checks = asyncio.Semaphore(_CHECKS_AT_ONCE)
        self._checking = 0

    async def grants(self, request: Request, wanted: Scope, base_url: str) -> Grants:
        """What the sender of the request may do, at least `wanted`. Raises Failure with the challenge otherwise."""
        scheme, _, value = request.header("authorization").partition(" ")
        held: Grants | None = None
        if scheme.lower() == "basic" and await self._user(value) is not None:
            held = grants.EVERYTHING
        elif scheme.lower() == "bearer" and self._mode == "token":
            held = self._verified(value.strip())
        elif not scheme and (wanted.actions <= self._anonymous) and wanted is not ANYBODY:
            held = grants.granted([wanted], self._anonymous)
        if held is not None and held.allow(wanted):
            return held
        challenge = self._challenge(wanted, base_url, is_insufficient=held is not None)
        raise Failure("UNAUTHORIZED", "authentication is required", headers=(("www-authenticate", challenge),))

    async def token(self, request: Request) -> Response:
        """GET and POST /token: a token for the scopes asked for, as far as the sender may have them."""
        if self._mode != "token":
            raise Failure("UNSUPPORTED", "no such path", status=404)
        fields, user = await self._asked(request)
        service = next((value for key, value in fields if key == "service"), "")
        if service not in ("", self._service):
            raise Failure("DENIED", f"service {service[:120]!r} is not this registry")
        if user is None and not self._anonymous:
            challenge = (("www-authenticate", f'Basic realm="{self._service}"'),)
            raise Failure("UNAUTHORIZED", "authentication is required", headers=challenge)
        wanted = grants.scopes(value for key, value in fields if key == "scope")
        held = grants.granted(wanted, grants.ACTIONS if user is not None else self._anonymous)
        issued = int(self._now())
        signed = self._signed(
            {
                "iss": self._service,
                "sub": user or "",
                "aud": self._service,
                "iat": issued,
                "exp": issued + TOKEN_SECONDS,
                "access": [
                    {"type": kind, "name": name, "actions": sorted(actions)}
                    for (kind, name), actions in held.by_resource.items()
                ],
            }
        )
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(issued))
        answer = {"token": signed, "access_token": signed, "expires_in": TOKEN_SECONDS, "issued_at": stamp}
        no_store = ("cache-control", "no-store")
        return Response(200, (("content-type", "application/json"), no_store), json.dumps(answer).encode())

    async def _asked(self, request: Request) -> tuple[list[tuple[str, str]], str | None]:
        """(fields of query or form, the user). Raises Failure for a wrong password, BadRequest."""
        scheme, _, value = request.header("authorization").partition(" ")
        text = request.query
        if request.method == "POST":
            text = (await request.read(_FORM_MAX)).decode("utf-8", "replace")
        try:
            fields = parse_qsl(text, keep_blank_values=True, max_num_fields=_FIELDS_MAX)
        except ValueError as error:
            raise BadRequest(f"token request: {error}") from error
        if request.method == "POST" and not scheme:
            form = dict(fields)
            if form.get("grant_type") != "password":
                raise Failure("UNSUPPORTED", "only grant_type=password is possible", status=400)
            return fields, await self._known(form.get("username", ""), form.get("password", ""))
        return fields, None if not scheme else await self._user(value)

    async def _user(self, value: str) -> str | None:
        """The user whose name and password the Basic credentials hold; raises Failure if they are wrong."""
        try:
            name, _, password = base64.b64decode(value.strip(), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError, ValueError):
            name = password = ""
        return await self._known(name, password)

    async def _known(self, name: str, password: str) -> str:
        mark = hmac.digest(self._key, f"{name}\0{password}".encode(), "sha256")
        known = self._users.get(name, _NOBODY_HASH)
        if self._remembered.get(mark) == known:
            return name
        if not await self._is_right(password, known) or name not in self._users:
            headers = (("www-authenticate", f'Basic realm="{self._service}"'),)
            raise Failure("UNAUTHORIZED", "user or password is wrong", headers=headers)
        self._remembered[mark] = known
        if len(self._remembered) > _REMEMBERED_MAX:
            self._remembered.popitem(last=False)
        return name

    async def _is_right(self, password: str, known: str) -> bool:
        """A check costs a core tens of milliseconds: strangers who guess may not take all threads of the process."""
        if self._checking >= _CHECKS_WAITING_MAX:
            raise TooMany(f"{_CHECKS_WAITING_MAX} passwords are being checked", after=1)
        self._checking += 1
        try:
            async with self._checks:
                return await asyncio.to_thread(passwords.is_right, password, known)
        finally:
            self._checking -= 1

    def _challenge(self, wanted: Scope, base_url: str, *, is_insufficient: bool) -> str:
        if self._mode == "basic":
            return f'Basic realm="{self._service}"'
        text = f'Bearer realm="{base_url}{TOKEN_PATH}",service="{self._service}"'
        if wanted.name:
            text += f',scope="{wanted}"'
        return text + (',error="insufficient_scope"' if is_insufficient else "")

    def _signed(self, claims: dict[str, object]) -> str:
        head = _coded(b'{"alg":"HS256","typ":"JWT"}')
        body = _coded(json.dumps(claims, separators=(",", ":")).encode())
        return f"{head}.{body}.{_coded(self._seal(f'{head}.{body}'))}"

    def _verified(self, token: str) -> Grants | None:
        """The grants of a token that this process signed and that is not over."""
        signed, _, seal = token.rpartition(".")
        if not hmac.compare_digest(_coded(self._seal(signed)).encode(), seal.encode("utf-8", "replace")):
            return None
        claims = json.loads(_decoded(signed.partition(".")[2]))
        if claims["exp"] <= self._now():
            return None
        return Grants({(entry["type"], entry["name"]): frozenset(entry["actions"]) for entry in claims["access"]})

    def _seal(self, signed: str) -> bytes:
        return hmac.digest(self._key, signed.encode("utf-8", "replace"), hashlib.sha256)


def _coded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
