"""Transcripts: a file of commands with what they print. `--rewrite` puts what is printed now in place.

    command arguments
    body lines (of apply)
    ----
    expected output

A blank line ends an entry; `#` begins a comment between entries. Output shows chosen columns, never uids or times.
"""

import asyncio
import fnmatch
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import yaml

from knarr.base.errors import TooMany
from knarr.client.client import Client, DeleteOptions, Json
from knarr.controllers.controller import Controller
from knarr.controllers.registry import all_controllers
from knarr.kinds import registry
from knarr.kinds.core_config import EVENT
from knarr.kinds.core_pod import POD
from knarr.kinds.registry import Kind
from tests.simulation.cluster import Cluster

NAMESPACE = "default"


@dataclass(frozen=True, slots=True)
class Entry:
    """One command with its body and expectation; `before` are the comments above it."""

    before: tuple[str, ...]
    command: str
    body: tuple[str, ...]
    expected: tuple[str, ...]


def parse(text: str) -> list[Entry]:
    """The entries of a transcript."""
    entries: list[Entry] = []
    before: list[str] = []
    lines = iter(text.splitlines())
    for line in lines:
        if not line.strip() or line.startswith("#"):
            before.append(line)
            continue
        body: list[str] = []
        for inner in lines:
            if inner == "----":
                break
            body.append(inner)
        else:
            raise ValueError(f"{line!r} has no ----")
        expected: list[str] = []
        for inner in lines:
            if not inner.strip():
                break
            expected.append(inner)
        entries.append(Entry(tuple(before), line, tuple(body), tuple(expected)))
        before = []
    return entries


def render(entries: list[Entry], printed: list[list[str]]) -> str:
    """The transcript with what was printed as expectation."""
    blocks = []
    for entry, output in zip(entries, printed, strict=True):
        comments = [line for line in entry.before if line.strip()]
        gap = [""] if comments and blocks else []
        blocks.append("\n".join([*gap, *comments, entry.command, *entry.body, "----", *output]))
    return "\n\n".join(blocks).replace("\n\n\n", "\n\n") + "\n"


def controllers(entries: list[Entry]) -> Sequence[Controller]:
    """The controllers of a transcript. Without leases nodes fall silent, so a transcript names the node controller in
    its first comment to have it."""
    is_wanted = bool(entries[0].before) and "node-controller" in entries[0].before[0]
    return [one for one in all_controllers() if is_wanted or one.name != "node-controller"]


def kind_named(word: str) -> Kind:
    """A kind by its kind, plural, singular or short name."""
    for row in registry.facts("kinds")["kinds"]:
        names = (row["kind"], row["plural"], row["singular"], *row.get("shortNames", ()))
        if registry.is_served(row) and word in names:
            return registry.row(row["group"], row["version"], row["kind"])
    raise ValueError(f"no kind is called {word!r}")


async def play(cluster: Cluster, entry: Entry) -> list[str]:
    """Run one command; what it prints."""
    verb, *arguments = shlex.split(entry.command)
    client: Client = cluster.client
    match verb, arguments:
        case "apply", []:
            for document in yaml.safe_load_all("\n".join(entry.body)):
                await apply(client, document)
        case "set", [kind, name, *changes]:
            for change in changes:
                found = kind_named(kind)
                await client.patch(found, NAMESPACE if found.is_namespaced else "", name, dotted(change))
        case "change", [namespace, kind, name, change]:
            await client.patch(kind_named(kind), namespace, name, dotted(change))
        case "label", [kind, name, *labels]:
            changes = {key: value or None for key, _, value in (label.partition("=") for label in labels)}
            await client.patch(kind_named(kind), NAMESPACE, name, {"metadata": {"labels": changes}})
        case "delete", [kind, name, *policy]:
            found = kind_named(kind)
            options = DeleteOptions(propagation=policy[0] if policy else None)  # type: ignore[arg-type]
            await client.delete(found, NAMESPACE if found.is_namespaced else "", name, options)
        case "crash", ["pod", prefix, *code]:
            await end_pod(client, prefix, int(code[0]) if code else 1)
        case "succeed", ["pod", prefix]:
            await end_pod(client, prefix, 0)
        case "evict", ["pod", prefix]:
            return await evict(client, prefix)
        case "unready", ["pod", prefix]:
            await unready_pod(client, prefix)
        case "tick", [duration]:
            await asyncio.sleep(seconds(duration))
        case "settle", []:
            await cluster.settle()
        case "show", [kind, *namespace]:
            return await show(client, kind_named(kind), *namespace)
        case "status", [kind, name]:
            return status(await read(client, kind, name))
        case "yaml", [kind, name, path]:
            return excerpt(await read(client, kind, name), path)
        case "conditions", [kind, name]:
            return conditions(await read(client, kind, name))
        case "events", [name]:
            return await events(client, name)
        case _:
            raise ValueError(f"{entry.command!r} is no command")
    return []


async def read(client: Client, word: str, name: str) -> Json:
    kind = kind_named(word)
    return await client.get(kind, NAMESPACE if kind.is_namespaced else "", name)


def seconds(text: str) -> float:
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    return float(text[:-1]) * units[text[-1]]


def dotted(change: str) -> Json:
    """`spec.replicas=3` as a merge patch."""
    path, _, value = change.partition("=")
    body: Any = yaml.safe_load(value)
    for name in reversed(path.split(".")):
        body = {name: body}
    assert isinstance(body, dict)
    return body


async def apply(client: Client, document: Json) -> None:
    kind = kind_named(document["kind"])
    namespace = document["metadata"].get("namespace", NAMESPACE) if kind.is_namespaced else ""
    await client.create(kind, namespace, document)


async def objects(client: Client, kind: Kind, namespace: str = NAMESPACE) -> list[Json]:
    listed = await client.list(kind, namespace if kind.is_namespaced else "")
    return [msgspec.json.decode(item) for item in listed.items]


async def _pod(client: Client, prefix: str) -> Json:
    return next(one for one in await objects(client, POD) if one["metadata"]["name"].startswith(prefix))


async def end_pod(client: Client, prefix: str, code: int) -> None:
    """The first pod whose name begins so ends with an exit code."""
    pod = await _pod(client, prefix)
    state = {"terminated": {"exitCode": code, "reason": "Error" if code else "Completed"}}
    change = {
        "phase": "Failed" if code else "Succeeded",
        "conditions": [{"type": "Ready", "status": "False"}],
        "containerStatuses": [{"name": "c", "ready": False, "restartCount": 0, "state": state}],
    }
    await client.patch(POD, NAMESPACE, pod["metadata"]["name"], {"status": change}, subresource="status")


async def evict(client: Client, prefix: str) -> list[str]:
    """The first pod whose name begins so is evicted, or the refusal says why not."""
    name = (await _pod(client, prefix))["metadata"]["name"]
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": NAMESPACE}}
    try:
        await client.create(POD, NAMESPACE, body, name=name, subresource="eviction")
    except TooMany as error:
        return [str(error)]
    return []


async def unready_pod(client: Client, prefix: str) -> None:
    pod = await _pod(client, prefix)
    change = {"conditions": [{"type": "Ready", "status": "False"}]}
    await client.patch(POD, NAMESPACE, pod["metadata"]["name"], {"status": change}, subresource="status")


def pod_columns(pod: Json) -> list[str]:
    status = pod.get("status", {})
    ready = next((one["status"] for one in status.get("conditions", ()) if one["type"] == "Ready"), "False")
    phase = "Terminating" if "deletionTimestamp" in pod["metadata"] else status.get("phase", "Pending")
    owner = next((one["name"] for one in pod["metadata"].get("ownerReferences", ()) if one.get("controller")), "-")
    return [phase, "ready" if ready == "True" else "unready", pod["spec"].get("nodeName", "-"), owner]


def node_columns(node: Json) -> list[str]:
    ready = next((c["status"] for c in node.get("status", {}).get("conditions", ()) if c["type"] == "Ready"), "-")
    taints = [f"{one['key']}:{one['effect']}" for one in node.get("spec", {}).get("taints", ())]
    return [f"Ready={ready}", *sorted(taints)]


def slice_columns(one: Json) -> list[str]:
    found = [
        f"{','.join(each['addresses'])}={'ready' if each['conditions'].get('ready') else 'unready'}"
        for each in one["endpoints"] or ()
    ]
    ports = [f"{port.get('name', '')}:{port['port']}/{port['protocol']}" for port in one["ports"] or ()]
    manager = one["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"]
    return [one["addressType"], *found, *ports, f"by={manager}"]


def claim_columns(one: Json) -> list[str]:
    owners = [f"{each['kind']}/{each['name']}" for each in one["metadata"].get("ownerReferences", ())]
    is_ending = ["Terminating"] if "deletionTimestamp" in one["metadata"] else []
    return [*is_ending, *(owners or ["-"]), *one["metadata"].get("finalizers", ())]


def replica_set_columns(one: Json) -> list[str]:
    status = one.get("status", {})
    revision = one["metadata"].get("annotations", {}).get("deployment.kubernetes.io/revision", "-")
    counts = [str(status.get(name, 0)) for name in ("replicas", "readyReplicas", "availableReplicas")]
    return [f"revision={revision}", f"wanted={one['spec']['replicas']}", "/".join(counts)]


def deployment_columns(one: Json) -> list[str]:
    status = one.get("status", {})
    names = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    counts = "/".join(str(status.get(name, 0)) for name in names)
    found = [f"{c['type']}={c['status']}:{c['reason']}" for c in status.get("conditions", ())]
    return [f"wanted={one['spec']['replicas']}", counts, *sorted(found)]


def job_columns(one: Json) -> list[str]:
    status = one.get("status", {})
    counts = [f"{name}={status.get(name, 0)}" for name in ("active", "succeeded", "failed")]
    return [*counts, *(f"{c['type']}={c['status']}:{c.get('reason', '')}" for c in status.get("conditions", ()))]


COLUMNS: Mapping[str, Callable[[Json], list[str]]] = {
    "Pod": pod_columns,
    "Node": node_columns,
    "EndpointSlice": slice_columns,
    "PersistentVolumeClaim": claim_columns,
    "PersistentVolume": claim_columns,
    "ReplicaSet": replica_set_columns,
    "ReplicationController": replica_set_columns,
    "Deployment": deployment_columns,
    "Job": job_columns,
}


async def show(client: Client, kind: Kind, namespace: str = NAMESPACE) -> list[str]:
    """One line per object: its name and chosen columns."""
    columns = COLUMNS.get(kind.kind, lambda one: [one.get("status", {}).get("phase", "")])
    rows = [[one["metadata"]["name"], *columns(one)] for one in await objects(client, kind, namespace)]
    return [" ".join(row).rstrip() for row in rows]


def excerpt(one: Any, path: str) -> list[str]:
    """One part of an object as YAML; uids are hidden."""
    for name in path.split("."):
        one = one.get(name, {})
    text = yaml.safe_dump(one, sort_keys=True, width=120)
    return re.sub(r"(uid: )\S+", r"\1…", text).splitlines()


def status(one: Json) -> list[str]:
    """The numbers of a status."""
    found = one.get("status", {})
    return [f"{key}: {found[key]}" for key in sorted(found) if isinstance(found[key], int | str) and "Time" not in key]


def conditions(one: Json) -> list[str]:
    found = one.get("status", {}).get("conditions", ())
    return [f"{c['type']}={c['status']} {c.get('reason', '')}: {c.get('message', '')}" for c in found]


async def events(client: Client, name: str) -> list[str]:
    """What was told about an object, in order; the name may be a pattern (`*`, `?`, `[…]`)."""
    found = [one for one in await objects(client, EVENT) if fnmatch.fnmatchcase(one["involvedObject"]["name"], name)]
    found.sort(key=lambda one: int(one["metadata"]["resourceVersion"]))
    return [f"{one['type']} {one['reason']}: {one['message']} (x{one['count']})" for one in found]
