"""Signatures of kube-public/cluster-info."""

import base64
from datetime import UTC, datetime

import msgspec

from knarr.base.ids import Revision
from knarr.client.cache import Cache
from knarr.controllers import bootstrapsigner
from knarr.controllers.bootstrapsigner import plan, signature
from knarr.controllers.controller import Patch, Plan
from knarr.kinds.core_config import CONFIGMAP, NAMESPACE, SECRET
from knarr.kinds.lens.config import ConfigMap, Namespace, Secret
from knarr.kinds.lens.meta import ObjectMeta

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PUBLIC = Namespace(metadata=ObjectMeta(name="kube-public"))


def token(**data: str) -> Secret:
    held = {"token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-signing": "true", **data}
    metadata = ObjectMeta(name=f"bootstrap-token-{held['token-id']}", namespace="kube-system", resource_version="1")
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in held.items()}
    return Secret(metadata=metadata, type="bootstrap.kubernetes.io/token", data=encoded)


def view(*secrets: Secret, **data: str) -> Cache:
    cache = Cache((NAMESPACE, CONFIGMAP, SECRET))
    published = ConfigMap(
        metadata=ObjectMeta(name="cluster-info", namespace="kube-public", resource_version="1"), data=data
    )
    cache.replace(CONFIGMAP, [msgspec.json.encode(published)], Revision(1))
    cache.replace(SECRET, [msgspec.json.encode(each) for each in secrets], Revision(1))
    return cache


def data_of(made: Plan) -> dict[str, str | None]:
    (action,) = made.actions
    assert isinstance(action, Patch)
    found: dict[str, str | None] = action.body["data"]
    return found


def test_a_signature_is_what_kubeadm_checks() -> None:
    # The known answer of upstream's own test.
    text = "Hello from the other side. I must have called a thousand times."
    assert signature(text, "joshua", "my voice is my passcode") == (
        "eyJhbGciOiJIUzI1NiIsImtpZCI6Impvc2h1YSJ9..VShe2taLd-YTrmWuRkcL_8QTNDHYxQIEBsAYYiIj1_8"
    )


def test_a_kubeconfig_is_signed_by_tokens_that_may_and_no_others() -> None:
    silent = token(**{"token-id": "silent", "usage-bootstrap-signing": "false"})
    late = token(**{"token-id": "latest", "expiration": "2025-01-01T00:00:00Z"})
    found = data_of(plan(PUBLIC, view(token(), silent, late, kubeconfig="k"), NOW))
    assert found == {"jws-kubeconfig-abcdef": signature("k", "abcdef", "0123456789abcdef")}


def test_a_signature_goes_with_its_token_and_the_last_day_is_waited_for() -> None:
    soon = token(expiration="2026-01-02T00:00:00Z")
    signed = {"kubeconfig": "k", "jws-kubeconfig-abcdef": signature("k", "abcdef", "0123456789abcdef")}
    assert plan(PUBLIC, view(soon, **signed), NOW) == Plan(again_at=datetime(2026, 1, 2, tzinfo=UTC))
    assert data_of(plan(PUBLIC, view(**signed), NOW)) == {"jws-kubeconfig-abcdef": None}


def test_nothing_is_signed_where_nothing_is_published() -> None:
    assert plan(PUBLIC, view(token()), NOW) == Plan()
    assert plan(Namespace(metadata=ObjectMeta(name="default")), view(token(), kubeconfig="k"), NOW) == Plan()


def test_only_what_concerns_the_signatures_is_looked_at() -> None:
    assert bootstrapsigner.secret_keys(token(), view()) == [("", "kube-public")]
    assert bootstrapsigner.secret_keys(Secret(metadata=ObjectMeta(name="x", namespace="default")), view()) == []
