"""The bootstrap signer: the kubeconfig in kube-public/cluster-info is signed with every bootstrap token that may sign.

Who joins knows the token, and so that the cluster is the one that the token is of, before it trusts the CA. A signature
is a detached JWS (HS256) under `jws-kubeconfig-ID`. Where nobody has made a cluster-info there is nothing to sign.
Not here: what tokens authenticate (apiserver/bootstrap_tokens.py). Spec: "Authenticating with Bootstrap Tokens".
"""

import base64
import hashlib
import hmac
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from knarr.base.clock import Instant, parse_rfc3339
from knarr.client.view import View
from knarr.controllers.controller import Controller, Key, Patch, Plan
from knarr.kinds.core_config import CONFIGMAP, NAMESPACE, SECRET
from knarr.kinds.lens.config import ConfigMap, Namespace, Secret

PUBLIC: Final = "kube-public"
SYSTEM: Final = "kube-system"
CLUSTER_INFO: Final = "cluster-info"
CONFIGURATION: Final = "kubeconfig"
SIGNATURE: Final = "jws-kubeconfig-"
TYPE: Final = "bootstrap.kubernetes.io/token"
NAME: Final = "bootstrap-token-"


def plan(namespace: Namespace, view: View, now: Instant) -> Plan:
    """The signatures that the kubeconfig should have; those of tokens that are gone go."""
    if namespace.metadata.name != PUBLIC:
        return Plan()
    found = view.get(ConfigMap, PUBLIC, CLUSTER_INFO)
    if found is None or CONFIGURATION not in found.data:
        return Plan()
    tokens = [token for token in _tokens(view) if token.expires is None or token.expires > now]
    wanted = {SIGNATURE + token.id: signature(found.data[CONFIGURATION], token.id, token.secret) for token in tokens}
    held = {key: value for key, value in found.data.items() if key.startswith(SIGNATURE)}
    again_at = min((token.expires for token in tokens if token.expires is not None), default=None)
    if held == wanted:
        return Plan(again_at=again_at)
    body = {"data": dict.fromkeys(held) | wanted}
    return Plan([Patch(CONFIGMAP, PUBLIC, CLUSTER_INFO, body, tolerate_absent=True)], again_at=again_at)


class _Token(msgspec.Struct, frozen=True):
    id: str
    secret: str
    expires: Instant | None


def _tokens(view: View) -> Iterator[_Token]:
    """The tokens that may sign, expired ones too."""
    for secret in view.list(Secret, SYSTEM):
        if secret.type != TYPE or secret.metadata.deletion_timestamp is not None:
            continue
        token, key = _text(secret, "token-id"), _text(secret, "token-secret")
        if secret.metadata.name == NAME + token and key and _text(secret, "usage-bootstrap-signing") == "true":
            yield _Token(token, key, _expires(_text(secret, "expiration")))


def _expires(text: str) -> Instant | None:
    if not text:
        return None
    try:
        return parse_rfc3339(text)
    except ValueError:
        return parse_rfc3339("1970-01-01T00:00:00Z")  # what cannot be read has ended, as upstream


def _text(secret: Secret, key: str) -> str:
    try:
        return base64.b64decode(secret.data.get(key, ""), validate=True).decode()
    except ValueError:
        return ""


def signature(content: str, token_id: str, token_secret: str) -> str:
    """The detached JWS of a text: its middle part, the text itself, is left out."""
    header = _part(b'{"alg":"HS256","kid":"%b"}' % token_id.encode())
    signed = f"{header}.{_part(content.encode())}".encode()
    return f"{header}..{_part(hmac.digest(token_secret.encode(), signed, hashlib.sha256))}"


def _part(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def config_map_keys(found: ConfigMap, _view: View) -> Sequence[Key]:
    return [("", PUBLIC)] if (found.metadata.namespace, found.metadata.name) == (PUBLIC, CLUSTER_INFO) else []


def secret_keys(found: Secret, _view: View) -> Sequence[Key]:
    return [("", PUBLIC)] if found.metadata.namespace == SYSTEM and found.metadata.name.startswith(NAME) else []


CONTROLLER = Controller(
    "bootstrap-signer-controller",
    kind=NAMESPACE,
    plan=plan,
    watches={CONFIGMAP: config_map_keys, SECRET: secret_keys},
    writes=(CONFIGMAP,),
)
