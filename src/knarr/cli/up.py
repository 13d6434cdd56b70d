"""`knarr up`: check the machine, start control and node, point kubectl at the cluster. Run twice it changes nothing.

Not here: what the processes do (assembly/), where things lie (assembly/settings.py).
"""

import argparse
import errno
import shutil
import socket
import time
from pathlib import Path

from knarr.assembly import settings as settings_module
from knarr.assembly import supervise
from knarr.assembly.settings import Settings
from knarr.base.errors import KnarrError
from knarr.cli import kubeconfig, networks, printing, requirements, target
from knarr.cli.printing import Failure

READY_SECONDS = 180.0
"""How long a process may take to be ready: a cold disk, a large store, an emulated machine (docs/machine.md), with room
to spare. One that dies says so at once, whatever this is."""
DISK_FREE_MIN = 200 * 1024 * 1024
"""Bytes that must be free in the state directory: a store, its log, and one small image."""


def configure(parser: argparse.ArgumentParser) -> None:
    target.configure(parser)
    parser.add_argument(
        "--api-only", action="store_true", default=None, help="start the API server alone; no root needed"
    )
    parser.add_argument("--port", type=int, default=None, help="the API's port on 127.0.0.1 (default 6443)")
    parser.add_argument(
        "--registry-port", type=int, default=None, help="the registry's port on localhost (default 5000)"
    )
    parser.add_argument(
        "--kubelet-port", type=int, default=None, help="the kubelet's port on 127.0.0.1 (default 10250)"
    )
    parser.add_argument("--pod-network", default=None, help="addresses of pods (default 10.244.0.0/16)")
    parser.add_argument("--service-network", default=None, help="addresses of Services (default 10.96.0.0/16)")
    parser.add_argument(
        "--pod-security",
        choices=("privileged", "baseline", "restricted"),
        default=None,
        help="what namespaces without a label of their own enforce (default privileged, as upstream)",
    )
    parser.add_argument(
        "--cri",
        default=None,
        metavar="SOCKET",
        help="a CRI runtime that runs the pods, all of which knarr then takes for its own, "
        "e.g. unix:///run/containerd/containerd.sock (default: knarr's own)",
    )
    parser.add_argument(
        "--pod-manifest-path",
        metavar="DIR",
        default=None,
        help="folder of static pods' files (default: manifests below the cluster's state)",
    )
    parser.add_argument(
        "--audit-log",
        default=None,
        metavar="FILE",
        help="write an audit event for each request: to a file, to - (knarr logs control), or '' for none (default)",
    )
    parser.add_argument(
        "--audit-policy",
        default=None,
        metavar="FILE",
        help="an audit.k8s.io/v1 Policy (default: Metadata of everything)",
    )
    parser.add_argument(
        "--kubelet-config",
        metavar="FILE",
        default=None,
        help="a KubeletConfiguration: eviction, image garbage collection, sysctls, logs, process ids",
    )
    parser.add_argument(
        "--scheduler-config",
        metavar="FILE",
        default=None,
        help="a kubescheduler.config.k8s.io/v1 KubeSchedulerConfiguration: profiles, plugins, weights ('' for none)",
    )
    parser.add_argument("--backoff", choices=("standard", "dev"), default=None, help="restart back-off; dev is quicker")


def run(arguments: argparse.Namespace) -> int:
    if not arguments.api_only:
        target.need_root("up")
    began = time.monotonic()
    settings = _settings(arguments)
    running = [role for role in supervise.roles(settings) if supervise.running_pid(settings, role)]
    if len(running) == len(supervise.roles(settings)):
        _point_kubectl(settings)
        printing.say(f"the cluster {settings.name} is up already; kubectl context {settings.context}")
        return 0
    _check_machine(settings, is_fresh=not running)
    is_new = not (settings.data_dir / settings_module.FILE_NAME).exists()
    _prepare(settings)
    try:
        _start(settings, running)
    except Failure:
        if is_new and not settings.api_only:
            from knarr.assembly import node  # only to leave nothing behind

            node.tear_down(settings, 0.0)
        raise
    printing.say(
        f"the cluster {settings.name} is up after {time.monotonic() - began:.2f} s; kubectl context {settings.context}"
    )
    return 0


def _settings(arguments: argparse.Namespace) -> Settings:
    kept = target.settings(arguments)
    wanted = settings_module.changed(
        kept,
        port=arguments.port,
        registry_port=arguments.registry_port,
        kubelet_port=arguments.kubelet_port,
        api_only=arguments.api_only,
        pod_network=arguments.pod_network,
        service_network=arguments.service_network,
        backoff=arguments.backoff,
        pod_manifest_path=_absolute(arguments.pod_manifest_path),
        kubelet_config=_absolute(arguments.kubelet_config),
        pod_security=arguments.pod_security,
        scheduler_config=_absolute(arguments.scheduler_config),
        audit_log=_absolute(arguments.audit_log),
        audit_policy=_absolute(arguments.audit_policy),
        cri=arguments.cri if arguments.cri is None else arguments.cri.removeprefix("unix://"),
    )
    if wanted != kept and supervise.running_pid(kept, "control"):
        raise Failure(
            f"knarr {kept.name} is up with other settings",
            "ports and networks cannot change while it runs",
            f"knarr down --name {kept.name}, then knarr up with the new ones",
            printing.EXIT_IN_USE,
        )
    return wanted


def _absolute(path: str | None) -> str | None:
    """The path as another process finds it; "-", the empty one and None stay."""
    return str(Path(path).absolute()) if path and path != "-" else path


def _check_audit(settings: Settings) -> None:
    if not settings.audit_policy:
        return
    from knarr.apiserver.audit import policy  # loaded by those who audit

    try:
        policy.parsed(Path(settings.audit_policy).read_bytes())
    except (OSError, KnarrError) as error:
        raise Failure("--audit-policy cannot be used", str(error), "correct the file, or give another") from error


def _check_scheduler(settings: Settings) -> None:
    if not settings.scheduler_config:
        return
    from knarr.scheduler import configuration  # loaded by those who give a file

    try:
        configuration.parsed(Path(settings.scheduler_config).read_text())
    except (OSError, UnicodeDecodeError, KnarrError) as error:
        raise Failure("--scheduler-config cannot be used", str(error), "correct the file, or give another") from error


def _check_kubelet(settings: Settings) -> None:
    if not settings.kubelet_config:
        return
    from knarr.assembly import node  # loaded by those who configure it

    try:
        node.kubelet_settings(settings)
    except KnarrError as error:
        raise Failure("--kubelet-config cannot be used", str(error), "correct the file, or give another") from error


def _check_machine(settings: Settings, *, is_fresh: bool) -> None:
    data_dir = settings.data_dir
    ours = {settings.registry_file.name, settings.registries_file.name}  # a user may write them before the first start
    names = {entry.name for entry in data_dir.iterdir()} if data_dir.is_dir() else set()
    foreign = names > ours & names and settings_module.FILE_NAME not in names
    if foreign or (data_dir.exists() and not data_dir.is_dir()):
        raise Failure(
            f"{data_dir} is not a state directory of knarr",
            f"it holds other things and no {settings_module.FILE_NAME}",
            "give another directory with --data-dir, or empty this one",
        )
    if not settings.api_only:
        requirements.check()
        _check_cri(settings.cri)
    _check_audit(settings)
    _check_kubelet(settings)
    _check_scheduler(settings)
    if settings.api_only:
        networks.check(settings, [], {})
    else:
        networks.check(settings, networks.running(settings), networks.reached())
    if is_fresh:
        ports = [("API", settings.port)]
        if not settings.api_only:
            ports += [("registry", settings.registry_port), ("kubelet", settings.kubelet_port)]
        for what, port in ports:
            _check_port(what, port)


def _check_cri(path: str) -> None:
    if path and not Path(path).is_socket():
        raise Failure(
            f"--cri: {path} is not the socket of a CRI runtime",
            "there is no Unix socket at that path",
            "start the runtime, or run pods on knarr's own again with --cri ''",
        )


def _check_port(what: str, port: int) -> None:
    if not 0 < port < 65536:
        raise Failure(f"{port} is not a port", f"the {what} needs one of 1 to 65535", "", printing.EXIT_USAGE)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            flag = {"API": "--port", "registry": "--registry-port", "kubelet": "--kubelet-port"}[what]
            raise Failure(
                f"port {port} on 127.0.0.1 cannot be used for the {what}",
                "another program listens there" if error.errno == errno.EADDRINUSE else str(error),
                f"end that program (ss -ltnp 'sport = :{port}' names it) or use {flag}",
                printing.EXIT_IN_USE,
            ) from error


def _prepare(settings: Settings) -> None:
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        free = shutil.disk_usage(settings.data_dir).free
        if free < DISK_FREE_MIN:
            raise _disk_full(settings.data_dir, f"only {printing.size(free)} are free")
        settings_module.save(settings)
        settings.run_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise _disk_full(settings.data_dir, str(error)) from error
        raise Failure(
            f"{error.filename} cannot be written",
            str(error.strerror),
            "give another place with --data-dir",
            printing.EXIT_NOT_ALLOWED,
        ) from error
    supervise.stopping_file(settings).unlink(missing_ok=True)


def _disk_full(where: Path, why: str) -> Failure:
    return Failure(
        f"the disk of {where} is full",
        f"{why}; a cluster needs {printing.size(DISK_FREE_MIN)}",
        "free some space, or give another place with --data-dir",
    )


def _start(settings: Settings, running: list[supervise.Role]) -> None:
    # Both at once: the node's imports and recovery overlap with the API server's start.
    started = {role: supervise.start(settings, role) for role in supervise.roles(settings) if role not in running}
    if "control" in started:
        with printing.step(f"API server answers on https://127.0.0.1:{settings.port}"):
            _await(settings, started["control"])
    _point_kubectl(settings)
    if "node" in started:
        with printing.step(f"node {settings.node_name} is Ready; registry on localhost:{settings.registry_port}"):
            _await(settings, started["node"])


def _await(settings: Settings, started: supervise.Started) -> None:
    answer = supervise.await_report(started, READY_SECONDS)
    if "error" in answer:
        supervise.stop(settings, supervise.roles(settings))
        raise Failure(
            f"knarr {started.role} did not start",
            answer["error"],
            answer.get("todo") or f"knarr logs {started.role} --name {settings.name} says more",
        )


def _point_kubectl(settings: Settings) -> None:
    pki = settings.pki_dir
    credentials = kubeconfig.Credentials(
        server=f"https://127.0.0.1:{settings.port}",
        ca=(pki / "ca.crt").read_bytes(),
        certificate=(pki / "admin.crt").read_bytes(),
        key=(pki / "admin.key").read_bytes(),
    )
    file = kubeconfig.path(settings.owner_uid)
    before = kubeconfig.read(file)
    after = kubeconfig.merged(before, settings.context, credentials)
    if after != before or file.stat().st_mode & 0o077:
        kubeconfig.write(file, after, (settings.owner_uid, settings.owner_gid))
