"""The token controller over the API server: Secrets are filled, and go with their account."""

import asyncio
import base64

from cryptography.hazmat.primitives.asymmetric import ec

from knarr.apiserver.authn import Authenticator
from knarr.apiserver.context import User
from knarr.apiserver.pipeline import Pipeline
from knarr.apiserver.server import ApiServer
from knarr.apiserver.tokens import Tokens
from knarr.base import tasks
from knarr.base.clock import LoopClock
from knarr.client.client import Json
from knarr.client.inprocess import InProcessTransport
from knarr.client.requests import ApiClient
from knarr.controllers.registry import Controllers
from knarr.controllers.tokens import ACCOUNT, TYPE
from knarr.kinds.core_config import NAMESPACE, SECRET, SERVICEACCOUNT
from knarr.store.memory import MemoryStore
from tests.simulation import virtual_time
from tests.simulation.cluster import START


def named(kind: str, name: str, **more: Json | str) -> Json:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, **more.pop("meta", {})}, **more}  # type: ignore[dict-item]  # metadata is given as one


def test_a_token_secret_is_filled_and_goes_with_its_account() -> None:
    async def main() -> None:
        clock, store = LoopClock(START), MemoryStore()
        key = ec.generate_private_key(ec.SECP256R1())
        tokens = Tokens(lambda: key, store, lambda: clock.now().timestamp())
        server = ApiServer(store, clock, tokens=tokens, authenticator=Authenticator(tokens.user))
        client = ApiClient(InProcessTransport(Pipeline(server).handle_as, User("admin", ("system:masters",))))
        controllers = Controllers(client, clock, root_ca="PEM", controllers=[], collected=[])
        await client.create(NAMESPACE, "", named("Namespace", "a"))
        await client.create(SERVICEACCOUNT, "a", named("ServiceAccount", "robot"))
        async with asyncio.TaskGroup() as group:
            task = await tasks.start(group, "controllers", controllers.run)
            body = named("Secret", "robot-token", type=TYPE, meta={"annotations": {ACCOUNT: "robot"}})
            await client.create(SECRET, "a", body)
            await asyncio.sleep(5)
            found = (await client.get(SECRET, "a", "robot-token"))["data"]
            text = {name: base64.b64decode(value).decode() for name, value in found.items()}
            user = tokens.user(text.pop("token"))
            assert user is not None
            assert user.name == "system:serviceaccount:a:robot"
            assert text == {"namespace": "a", "ca.crt": "PEM"}
            await client.delete(SERVICEACCOUNT, "a", "robot")
            await asyncio.sleep(5)
            assert (await client.list(SECRET, "a")).items == ()
            await tasks.cancel(task)

    virtual_time.run(main())
