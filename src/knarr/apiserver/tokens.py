"""ServiceAccount tokens: JWTs signed with the cluster's P-256 key, bound to objects, checked on every use.

A signature is verified once per token text; expiry, the account's uid and the bound object are checked each time.
Only ES256 with our own key is known: there is no algorithm to confuse. Spec: RFC 7519, "Managing Service Accounts".
"""

import base64
import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from knarr.apiserver.authn import AUTHENTICATED
from knarr.apiserver.context import CREDENTIAL_ID, User
from knarr.base import ids
from knarr.store.store import Store
from knarr.wire import strict_json

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

ISSUER = "https://kubernetes.default.svc.cluster.local"
PREFIX = "system:serviceaccount:"
DELETED_GRACE_SECONDS = 60
"""A token outlives its pod's deletionTimestamp by that long, as upstream."""
TOKEN_BYTES_MAX = 16 * 1024
# Bound kind → (store prefix, whether it is namespaced).
BOUND = {
    "Pod": ("/registry/pods/", True),
    "Secret": ("/registry/secrets/", True),
    "Node": ("/registry/minions/", False),
}
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Bound:
    """The object that a token dies with."""

    kind: str
    name: str
    uid: str


class _Meta(msgspec.Struct, rename="camel"):
    uid: str = ""
    deletion_timestamp: str | None = None


class _Object(msgspec.Struct):
    metadata: _Meta


_object = msgspec.json.Decoder(_Object)


class Tokens:
    """Signs and checks with one key, loaded at its first use. `now` is wall-clock time."""

    def __init__(
        self, load: Callable[[], "EllipticCurvePrivateKey"], store: Store, now: Callable[[], float] = time.time
    ) -> None:
        self._load = load
        self._store = store
        self._now = now
        self._verified = functools.lru_cache(4096)(self._claims)

    @functools.cached_property
    def _key(self) -> "EllipticCurvePrivateKey":
        return self._load()

    @functools.cached_property
    def key_id(self) -> str:
        """The public key's thumbprint, as tokens name it."""
        return _thumbprint(self._key)

    def sign(
        self,
        account: tuple[str, str, str],
        audiences: list[str],
        seconds: int,
        *,
        bound: Bound | None = None,
        node: tuple[str, str] | None = None,
    ) -> tuple[str, int]:
        """(token, expiry) for (namespace, name, uid) of a ServiceAccount."""
        namespace, name, uid = account
        now = int(self._now())
        private: Json = {"namespace": namespace, "serviceaccount": {"name": name, "uid": uid}}
        if bound is not None:
            private[bound.kind.lower()] = {"name": bound.name, "uid": bound.uid}
        if node is not None:
            private["node"] = {"name": node[0], "uid": node[1]}
        claims = {
            "aud": audiences, "exp": now + seconds, "iat": now, "iss": ISSUER, "jti": ids.new_uid(),
            "kubernetes.io": private, "nbf": now, "sub": f"{PREFIX}{namespace}:{name}",
        }  # fmt: skip
        header = {"alg": "ES256", "kid": self.key_id}
        signed = f"{_part(msgspec.json.encode(header))}.{_part(msgspec.json.encode(claims))}"
        return f"{signed}.{_part(self._signature(signed.encode()))}", now + seconds

    def user(self, token: str) -> User | None:
        """The account that a token for this API speaks for, or None."""
        checked = self.check(token, [ISSUER])
        return checked[0] if checked else None

    def check(self, token: str, audiences: list[str]) -> tuple[User, list[str]] | None:
        """(user, the audiences that match) if the token is good for one of them now."""
        if len(token) > TOKEN_BYTES_MAX:
            return None
        claims = self._verified(token)
        if claims is None or not claims["nbf"] - 60 <= self._now() < claims["exp"]:
            return None
        matching = [audience for audience in claims["aud"] if audience in audiences]
        if not matching or not self._lives(claims["kubernetes.io"]):
            return None
        return _user(claims), matching

    def _claims(self, token: str) -> Json | None:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric import ec, utils
        from cryptography.hazmat.primitives.hashes import SHA256

        try:
            signed, _, signature = token.rpartition(".")
            header, _, payload = signed.partition(".")
            raw = _bytes(signature)
            if msgspec.json.decode(_bytes(header)).get("alg") != "ES256" or len(raw) != 64:
                return None
            der = utils.encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
            self._key.public_key().verify(der, signed.encode(), ec.ECDSA(SHA256()))
            claims = msgspec.json.decode(_bytes(payload))
        except (ValueError, AttributeError, InvalidSignature, *strict_json.UNREADABLE):
            return None
        return claims if claims.get("iss") == ISSUER else None

    def _signature(self, content: bytes) -> bytes:
        from cryptography.hazmat.primitives.asymmetric import ec, utils
        from cryptography.hazmat.primitives.hashes import SHA256

        r, s = utils.decode_dss_signature(self._key.sign(content, ec.ECDSA(SHA256())))
        return r.to_bytes(32) + s.to_bytes(32)

    def _lives(self, private: Json) -> bool:
        namespace, account = private["namespace"], private["serviceaccount"]
        if not self._has(f"/registry/serviceaccounts/{namespace}/{account['name']}", account["uid"]):
            return False
        for kind, (prefix, is_namespaced) in BOUND.items():
            bound = private.get(kind.lower())
            if bound is None or (kind == "Node" and "pod" in private):
                continue
            key = f"{prefix}{namespace}/{bound['name']}" if is_namespaced else prefix + bound["name"]
            if not self._has(key, bound["uid"]):
                return False
        return True

    def _has(self, key: str, uid: str) -> bool:
        entry = self._store.get(key)
        if entry is None:
            return False
        meta = _object.decode(entry.value).metadata
        if meta.uid != uid:
            return False
        if meta.deletion_timestamp is None:
            return True
        from knarr.base.clock import parse_rfc3339

        return self._now() < parse_rfc3339(meta.deletion_timestamp).timestamp() + DELETED_GRACE_SECONDS

    def keys(self) -> bytes:
        """The JWKS document of the public key."""
        numbers = self._key.public_key().public_numbers()
        key = {
            "use": "sig", "kty": "EC", "kid": self.key_id, "crv": "P-256", "alg": "ES256",
            "x": _part(numbers.x.to_bytes(32)), "y": _part(numbers.y.to_bytes(32)),
        }  # fmt: skip
        return msgspec.json.encode({"keys": [key]})


def load_key(path: Path) -> "EllipticCurvePrivateKey":
    """The signing key, made on first use."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    from knarr.wire import tls

    if not path.exists():
        made = ec.generate_private_key(ec.SECP256R1())
        pem = made.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        tls.write(path, pem)
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def _user(claims: Json) -> User:
    private = claims["kubernetes.io"]
    namespace = private["namespace"]
    extra: dict[str, tuple[str, ...]] = {CREDENTIAL_ID: (f"JTI={claims['jti']}",)}
    for kind in ("pod", "node"):
        if kind in private:
            extra[f"authentication.kubernetes.io/{kind}-name"] = (private[kind]["name"],)
            extra[f"authentication.kubernetes.io/{kind}-uid"] = (private[kind]["uid"],)
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED)
    return User(claims["sub"], groups, private["serviceaccount"]["uid"], extra)


def _thumbprint(key: "EllipticCurvePrivateKey") -> str:
    import hashlib

    from cryptography.hazmat.primitives import serialization

    der = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return _part(hashlib.sha256(der).digest())


def _part(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _bytes(part: str) -> bytes:
    return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
