"""`knarr status`: which processes run, whether the API answers, whether the node is Ready."""

import argparse
import http.client
import json
import ssl
from typing import Any

from knarr.assembly import supervise
from knarr.assembly.settings import Settings
from knarr.cli import kubeconfig, printing, target

ANSWER_SECONDS = 3.0


def configure(parser: argparse.ArgumentParser) -> None:
    target.configure(parser)
    parser.add_argument("--pids", action="store_true", help="print the pids of knarr's processes, one a line")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(arguments: argparse.Namespace) -> int:
    settings = target.existing(arguments)
    pids = {role: supervise.running_pid(settings, role) for role in supervise.roles(settings)}
    if arguments.pids:
        for pid in filter(None, pids.values()):
            printing.show(str(pid))
        return 0
    state: dict[str, Any] = {"name": settings.name, "context": settings.context, "processes": pids, **_api(settings)}
    state["ready"] = all(pids.values()) and state["api"] == "ready" and state.get("node") in ("Ready", None)
    if arguments.json:
        printing.show(json.dumps(state, indent=2))
    else:
        _show(settings, state)
    return 0 if state["ready"] else printing.EXIT_NOT_RUNNING


def _show(settings: Settings, state: dict[str, Any]) -> None:
    rows = [[role, f"pid {pid}" if pid else "not running"] for role, pid in state["processes"].items()]
    rows.append(["API", f"{state['api']} on https://127.0.0.1:{settings.port}"])
    if not settings.api_only:
        rows.append(["node", f"{settings.node_name} {state['node']}"])
    rows.append(["context", kubeconfig.use(kubeconfig.path(settings.owner_uid), settings.context)])
    rows.append(["state", str(settings.data_dir)])
    printing.show(printing.table(["PART", "STATE"], rows))


def _api(settings: Settings) -> dict[str, str]:
    answer = _get(settings, "/readyz")
    if answer is None:
        return {"api": "not answering"} | ({} if settings.api_only else {"node": "unknown"})
    state = {"api": "ready" if answer[0] == 200 else "not ready"}
    if not settings.api_only:
        state["node"] = _node(settings)
    return state


def _node(settings: Settings) -> str:
    answer = _get(settings, f"/api/v1/nodes/{settings.node_name}")
    if answer is None or answer[0] != 200:
        return "not registered"
    conditions = json.loads(answer[1]).get("status", {}).get("conditions", [])
    ready = next((each["status"] for each in conditions if each["type"] == "Ready"), "Unknown")
    return {"True": "Ready", "False": "NotReady"}.get(ready, "Unknown")


def _get(settings: Settings, path: str) -> tuple[int, bytes] | None:
    pki = settings.pki_dir
    try:
        context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        connection = http.client.HTTPSConnection("127.0.0.1", settings.port, timeout=ANSWER_SECONDS, context=context)
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return None
