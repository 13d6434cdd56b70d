"""Bootstrap tokens: who they speak for, and that they end."""

import asyncio
import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from knarr.apiserver import bootstrap_tokens
from knarr.apiserver.context import User
from knarr.base.clock import SystemClock, rfc3339
from tests.unit.apiserver.conftest import Asker

NOW = datetime(2030, 1, 1, tzinfo=UTC)
TOKEN = "abcdef.0123456789abcdef"
SECRETS = "/api/v1/namespaces/kube-system/secrets"
GOOD = {
    "token-id": "abcdef",
    "token-secret": "0123456789abcdef",
    "usage-bootstrap-authentication": "true",
    "auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token",
    "expiration": "2030-01-01T01:00:00Z",
}


async def keep(ask: Asker, values: dict[str, str], kind: str = bootstrap_tokens.TYPE) -> None:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    secret: dict[str, Any] = {"metadata": {"name": "bootstrap-token-abcdef"}, "type": kind, "data": data}
    answered = await ask("POST", SECRETS, secret)
    assert answered["kind"] == "Secret", answered


async def test_a_token_speaks_for_its_user_and_groups(ask: Asker) -> None:
    await keep(ask, GOOD)

    assert bootstrap_tokens.user(ask.server.store, TOKEN, NOW) == User(
        "system:bootstrap:abcdef",
        ("system:bootstrappers", "system:bootstrappers:kubeadm:default-node-token", "system:authenticated"),
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"token-secret": "0123456789abcdee"},
        {"token-id": "abcdee"},
        {"usage-bootstrap-authentication": "false"},
        {"auth-extra-groups": "system:masters"},
        {"expiration": "2029-12-31T23:59:59Z"},
        {"expiration": "tomorrow"},
    ],
)
async def test_a_token_that_is_not_right_speaks_for_nobody(ask: Asker, changed: dict[str, str]) -> None:
    await keep(ask, {**GOOD, **changed})

    assert bootstrap_tokens.user(ask.server.store, TOKEN, NOW) is None


@pytest.mark.parametrize("token", [TOKEN + "\n", "ABCDEF.0123456789abcdef", "", "abcdef", "uvwxyz.0123456789abcdef"])
async def test_another_token_speaks_for_nobody(ask: Asker, token: str) -> None:
    await keep(ask, GOOD)

    assert bootstrap_tokens.user(ask.server.store, token, NOW) is None


async def test_a_secret_of_another_type_is_no_token(ask: Asker) -> None:
    await keep(ask, GOOD, "Opaque")

    assert bootstrap_tokens.user(ask.server.store, TOKEN, NOW) is None


async def test_an_expired_token_is_deleted_and_another_stays(ask: Asker) -> None:
    store, clock = ask.server.store, SystemClock()
    watcher = store.watch(bootstrap_tokens.PREFIX, store.revision)
    task = asyncio.create_task(bootstrap_tokens.run(store, clock, lambda: None))
    await keep(ask, {**GOOD, "expiration": rfc3339(clock.now() - timedelta(seconds=1))})

    async with asyncio.timeout(10):
        changes = [await anext(aiter(watcher)) for _ in range(2)]
    await keep(ask, {**GOOD, "expiration": rfc3339(clock.now() + timedelta(hours=1))})

    assert [change.value is None for change in changes] == [False, True]
    assert len(store.list(bootstrap_tokens.PREFIX).entries) == 1
    task.cancel()
