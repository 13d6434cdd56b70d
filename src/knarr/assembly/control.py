"""The control process: store, API server, controllers and scheduler, put together.

Choices of implementations only; what each part does is its own. `run` never returns; cancelled, it closes everything.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from knarr.apiserver import bootstrap_tokens, expiry
from knarr.apiserver.audit import policy
from knarr.apiserver.audit.log import AuditLog
from knarr.apiserver.audit.pipeline import AuditedPipeline
from knarr.apiserver.authn import Authenticator
from knarr.apiserver.bootstrap import objects as bootstrap
from knarr.apiserver.bootstrap import upkeep as service_upkeep
from knarr.apiserver.context import User
from knarr.apiserver.fairness import upkeep
from knarr.apiserver.fairness.gate import Gate
from knarr.apiserver.pipeline import Pipeline
from knarr.apiserver.rbac import Rbac
from knarr.apiserver.server import ApiServer
from knarr.apiserver.tokens import Tokens, load_key
from knarr.assembly import pki
from knarr.assembly.settings import Settings
from knarr.base import exposition, tasks
from knarr.base.clock import Clock, SystemClock
from knarr.base.tasks import Ready
from knarr.client.inprocess import InProcessTransport
from knarr.client.requests import ApiClient
from knarr.scheduler.profile import DEFAULT_CONFIGURATION, Configuration
from knarr.store.reserve import RESERVE_BYTES
from knarr.store.sealing import Sealer
from knarr.store.sealing import load_key as load_secrets_key
from knarr.store.sqlite import SqliteStore
from knarr.store.store import Store
from knarr.wire import tls
from knarr.wire.http_server import Server

MASTERS = ("system:masters", "system:authenticated")
CONTROLLER_MANAGER = User("system:kube-controller-manager", MASTERS)
SCHEDULER = User("system:kube-scheduler", MASTERS)
"""In process and trusted: as masters they skip the search for a rule at every request."""


@dataclass(frozen=True, slots=True)
class Control:
    """The parts while they run."""

    store: Store
    pipeline: Pipeline
    clock: Clock

    def client(self, user: User) -> ApiClient:
        """A client in this process that acts as the user."""
        return ApiClient(InProcessTransport(self.pipeline.handle_as, user), user.name.rpartition(":")[2])


async def run(settings: Settings, ready: Ready) -> None:
    """Serve the cluster's API and run its controllers."""
    clock = SystemClock()
    directory = pki.ensure(settings, clock.now())
    key = settings.secrets_dir / "secrets.key"
    async with opened(settings, directory, clock, secrets_key=key, reserve_bytes=RESERVE_BYTES) as control:
        server = Server(control.pipeline.handle)
        context = tls.server_context(
            directory / "apiserver.crt", directory / "apiserver.key", client_authority=directory / "ca.crt"
        )
        try:
            await server.listen_tcp("127.0.0.1", settings.port, tls=context)
            if not settings.api_only:
                # Pods come by the bridge, which the node makes later; its nft rules keep everybody else out.
                await server.listen_early(pki.gateway(settings), settings.port, tls=context)
            await _run_parts(control, settings, directory, ready)
        finally:
            await server.close(grace_seconds=1.0)


@contextlib.asynccontextmanager
async def opened(
    settings: Settings, directory: Path, clock: Clock, *, secrets_key: Path | None = None, reserve_bytes: int = 0
) -> AsyncIterator[Control]:
    """Store and pipeline over it, with the objects that every cluster begins with. Secrets are sealed with the key."""
    sealer = Sealer(load_secrets_key(secrets_key)) if secrets_key is not None else None
    store = SqliteStore(settings.database, sealer=sealer, reserve_bytes=reserve_bytes)
    try:
        tokens = Tokens(lambda: load_key(directory / "sa.key"), store)
        server = ApiServer(
            store,
            clock,
            access=Rbac(store),
            authenticator=Authenticator(lambda token: _token_user(token, tokens, store, clock)),
            tokens=tokens,
            pki=directory,
            pod_security=settings.pod_security,
            service_network=settings.service_network,
        )
        server.ready_checks["store"] = store.trouble
        server.ready_checks["etcd"] = store.trouble  # by the name that upstream's probes ask for
        pipeline = _pipeline(server, settings)
        await bootstrap.run(pipeline, **_lead(settings))
        server.gate = Gate(store)
        server.metric_lines.append(server.gate.lines)
        try:
            yield Control(store, pipeline, clock)
        finally:
            await server.kubelets.client.close()
            if isinstance(pipeline, AuditedPipeline):
                await asyncio.to_thread(pipeline.log.close)
    finally:
        await store.close()


def _token_user(token: str, tokens: Tokens, store: Store, clock: Clock) -> User | None:
    if bootstrap_tokens.TOKEN.fullmatch(token):
        return bootstrap_tokens.user(store, token, clock.now())
    return tokens.user(token)


def _pipeline(server: ApiServer, settings: Settings) -> Pipeline:
    """The pipeline, with an audit log where one is wanted. Raises Invalid for a bad policy."""
    if not settings.audit_log:
        return Pipeline(server)
    wanted = policy.parsed(Path(settings.audit_policy).read_bytes()) if settings.audit_policy else policy.DEFAULT
    written = AuditLog(None if settings.audit_log == "-" else Path(settings.audit_log))
    server.metric_lines.append(written.lines)
    return AuditedPipeline(server, written, wanted)


async def _run_parts(control: Control, settings: Settings, directory: Path, ready: Ready) -> None:
    """Controllers and the scheduler, over one cache. Their modules are loaded while the API listens already."""
    from knarr.client.events import EventRecorder
    from knarr.controllers.registry import Controllers
    from knarr.scheduler import runner as scheduling

    root_ca = (directory / "ca.crt").read_text()
    client = control.client(CONTROLLER_MANAGER)
    controllers = Controllers(
        client,
        control.clock,
        root_ca=root_ca,
        authority=lambda: pki.authority(directory),
        kinds=scheduling.KINDS,
    )
    recorder = EventRecorder(control.client(SCHEDULER), control.clock, scheduling.NAME)
    scheduler = scheduling.Scheduler(
        control.client(SCHEDULER), controllers.cache, control.clock, recorder, _scheduling(settings)
    )
    server = control.pipeline.server
    server.taints_new_nodes = True
    server.reasons = controllers.reasons
    server.metric_lines += [controllers.lines, scheduler.lines, lambda: _storage_lines(settings.database)]
    started = asyncio.Event()
    server.ready_checks["controllers"] = lambda: None if started.is_set() else "controllers are starting"
    gate = server.gate
    assert gate is not None
    async with asyncio.TaskGroup() as group:
        await tasks.start(group, "priority and fairness", gate.run)
        producer = ApiClient(InProcessTransport(control.pipeline.handle_as, bootstrap.LOOPBACK), upkeep.PRODUCER)
        await tasks.start(group, "upkeep of flow schemas", lambda up: upkeep.run(control.store, producer, up))
        lead = _lead(settings)
        await tasks.start(group, "upkeep of the Service", lambda up: service_upkeep.run(control.pipeline, up, **lead))
        await tasks.start(group, "controllers", controllers.run)
        await tasks.start(group, "scheduler events", recorder.run)
        await tasks.start(group, "scheduler", scheduler.run)
        await tasks.start(
            group, "bootstrap tokens", lambda started: bootstrap_tokens.run(control.store, control.clock, started)
        )
        await tasks.start(group, "event expiry", lambda started: expiry.run(control.store, started))
        started.set()
        ready()


class _Lead(TypedDict):
    """Where the `kubernetes` Service is and leads to."""

    service_address: str
    port: int
    address: str


def _lead(settings: Settings) -> _Lead:
    return {
        "service_address": bootstrap.first_address(settings.service_network),
        "port": settings.port,
        "address": "" if settings.api_only else pki.gateway(settings),
    }


def _storage_lines(database: Path) -> list[str]:
    """How large the store is, by the name that upstream gives etcd's."""
    size = 0
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):  # the last two come and go
            size += Path(f"{database}{suffix}").stat().st_size
    name, meaning = "apiserver_storage_size_bytes", "Bytes of the store on disk."
    return exposition.family(name, "gauge", meaning, (('{storage_cluster_id="knarr-0"}', size),))


def _scheduling(settings: Settings) -> Configuration:
    """The scheduler's profiles: a file's, read by those who gave one, or upstream's defaults."""
    if not settings.scheduler_config:
        return DEFAULT_CONFIGURATION
    from knarr.scheduler import configuration

    return configuration.parsed(Path(settings.scheduler_config).read_text())
