"""What an audited server writes down."""

import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest

from knarr.apiserver.audit import policy as policies
from knarr.apiserver.audit.log import AuditLog
from knarr.apiserver.audit.pipeline import AuditedPipeline
from knarr.apiserver.audit.policy import Policy, Rule
from knarr.apiserver.bootstrap import objects as bootstrap
from knarr.apiserver.context import User
from knarr.apiserver.pipeline import Pipeline
from knarr.apiserver.rbac import Rbac
from knarr.apiserver.server import ApiServer
from knarr.store.memory import MemoryStore
from knarr.wire import http
from tests.unit.apiserver.conftest import ADMIN, Asker

JANE = User("jane", ("system:authenticated",))
SECRETS = "/api/v1/namespaces/default/secrets"
CONTAINERS = [{"name": "c", "image": "x"}]
EVERYTHING = Policy((Rule("RequestResponse"),), omit_managed_fields=True)


class Audited:
    """An audited server; `events` ends the log and reads it."""

    def __init__(self, server: ApiServer, file: Path, policy: Policy) -> None:
        self.file = file
        self.log = AuditLog(file)
        self.pipeline = AuditedPipeline(server, self.log, policy)
        self.ask = Asker(self.pipeline)

    def events(self) -> list[dict[str, Any]]:
        self.log.close()
        return [msgspec.json.decode(line) for line in self.file.read_bytes().splitlines()]


@pytest.fixture
async def server() -> ApiServer:
    store = MemoryStore()
    made = ApiServer(store, access=Rbac(store))
    await bootstrap.run(Pipeline(made), service_address="10.96.0.1", port=6443)
    return made


def secret(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": data}


async def test_by_default_an_event_says_who_did_what_and_no_body(server: ApiServer, tmp_path: Path) -> None:
    audited = Audited(server, tmp_path / "audit.log", policies.DEFAULT)
    await audited.ask("POST", SECRETS, secret(password="hunter2"))

    (event,) = audited.events()

    assert b"hunter2" not in audited.file.read_bytes()
    assert stat.S_IMODE(audited.file.stat().st_mode) == 0o600
    assert event | {"auditID": "", "requestReceivedTimestamp": "", "stageTimestamp": ""} == {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "auditID": "",
        "stage": "ResponseComplete",
        "requestURI": SECRETS,
        "verb": "create",
        "user": {"username": "admin", "groups": ["system:masters", "system:authenticated"]},
        "sourceIPs": ["::1"],
        "objectRef": {"resource": "secrets", "namespace": "default", "name": "s", "apiVersion": "v1"},
        "responseStatus": {"metadata": {}, "code": 201},
        "requestReceivedTimestamp": "",
        "stageTimestamp": "",
        "annotations": {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": ""},
    }


async def test_bodies_are_written_at_their_levels_without_managed_fields(server: ApiServer, tmp_path: Path) -> None:
    audited = Audited(server, tmp_path / "audit.log", EVERYTHING)
    await audited.ask("POST", "/api/v1/namespaces/default/configmaps", {"metadata": {"name": "c"}, "data": {"a": "1"}})

    received, complete = audited.events()

    assert received["stage"] == "RequestReceived"
    assert "requestObject" not in received
    assert complete["requestObject"]["data"] == {"a": "1"}
    assert complete["responseObject"]["data"] == {"a": "1"}
    assert "managedFields" not in complete["responseObject"]["metadata"]
    assert complete["auditID"] == received["auditID"]


async def test_a_refusal_says_why(server: ApiServer, tmp_path: Path) -> None:
    audited = Audited(server, tmp_path / "audit.log", policies.DEFAULT)
    await audited.ask.as_user(JANE)("GET", SECRETS)

    (event,) = audited.events()

    assert event["responseStatus"]["code"] == 403
    assert event["responseStatus"]["reason"] == "Forbidden"
    assert 'User "jane" cannot list' in event["responseStatus"]["message"]
    assert event["annotations"]["authorization.k8s.io/decision"] == "forbid"


async def test_impersonation_names_both(server: ApiServer, tmp_path: Path) -> None:
    audited = Audited(server, tmp_path / "audit.log", policies.DEFAULT)
    headers = (("impersonate-user", "jane"), ("impersonate-group", "dev"))
    await audited.pipeline.handle_as(http.Request("GET", SECRETS, "", headers), ADMIN)

    (event,) = audited.events()

    assert event["user"]["username"] == "admin"
    assert event["impersonatedUser"] == {"username": "jane", "groups": ["dev", "system:authenticated"]}


async def test_a_watch_is_written_when_it_begins_and_when_it_ends(server: ApiServer, tmp_path: Path) -> None:
    audited = Audited(server, tmp_path / "audit.log", policies.DEFAULT)
    response = await audited.ask.send("GET", "/api/v1/namespaces?watch=true")
    assert not isinstance(response.body, bytes)
    await anext(aiter(response.body))
    await response.body.aclose()  # type: ignore[attr-defined]  # the server closes every stream so

    assert [event["stage"] for event in audited.events()] == ["ResponseStarted", "ResponseComplete"]


async def test_bad_credentials_are_written_too_and_the_client_may_name_the_event(
    server: ApiServer, tmp_path: Path
) -> None:
    audited = Audited(server, tmp_path / "audit.log", policies.DEFAULT)
    headers = (("authorization", "Bearer x"), ("audit-id", "mine"))
    response = await audited.pipeline.handle(http.Request("GET", SECRETS, "", headers))

    (event,) = audited.events()

    assert ("audit-id", "mine") in response.headers
    assert (event["auditID"], event["responseStatus"]["code"]) == ("mine", 401)


async def test_a_file_that_has_grown_is_put_aside(server: ApiServer, tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.log", bytes_max=2000, kept=2)
    ask = Asker(AuditedPipeline(server, log, policies.DEFAULT))
    for _ in range(20):
        await ask("GET", "/api/v1/namespaces/default/configmaps/none")
    log.close()

    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == 3
    assert all(path.stat().st_size <= 2000 for path in tmp_path.iterdir())
    assert log.dropped == 0


async def test_pod_security_says_in_the_event_what_it_would_refuse(server: ApiServer, tmp_path: Path) -> None:
    audited = Audited(server, tmp_path / "audit.log", policies.DEFAULT)
    labels = {"metadata": {"labels": {"pod-security.kubernetes.io/audit": "baseline"}}}
    await audited.ask("PATCH", "/api/v1/namespaces/default", labels, media="application/merge-patch+json")
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"hostNetwork": True, "containers": CONTAINERS}}
    body = {"metadata": {"name": "t"}, "template": template}
    await audited.ask("POST", "/api/v1/namespaces/default/podtemplates", body)

    event = audited.events()[-1]

    assert event["annotations"]["pod-security.kubernetes.io/audit-violations"] == (
        'would violate PodSecurity "baseline:latest": host namespaces (hostNetwork=true)'
    )
