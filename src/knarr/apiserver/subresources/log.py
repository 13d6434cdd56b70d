"""pods/log: a container's log, streamed from the kubelet of the pod's node.

What may be said without the node is said here: bad options, which container, and why there is no log yet.
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from knarr.apiserver import origins, status
from knarr.apiserver.context import Json, RequestContext
from knarr.apiserver.subresources import connecting
from knarr.base import clock
from knarr.base.errors import BadRequest, Cause, DeadlineExceeded, Unavailable
from knarr.objects import faults
from knarr.wire import http, parameters, upgrades, websocket_reading

PASSED: Final = ("sinceSeconds", "sinceTime", "tailLines", "limitBytes", "stream")
ALL: Final = "All"
STREAMS: Final = (ALL, "Stderr", "Stdout")
BOOLEANS: Final = ("follow", "previous", "timestamps")
MESSAGE_BYTES_MAX: Final = 64 * 1024
TEXT: Final[http.Headers] = (("content-type", "text/plain"), ("cache-control", "no-cache, private"))
# Parameter → least value, and the field's name in an Invalid answer.
_LEAST: Final = {"tailLines": 0, "limitBytes": 1, "sinceSeconds": 1}
_WAITING: Final = {
    "ErrImagePull": "image can't be pulled",
    "ImagePullBackOff": "trying and failing to pull image",
}


async def log(context: RequestContext) -> http.Response:
    """GET pods/NAME/log."""
    if context.request.method not in ("GET", "HEAD"):
        raise status.method_not_allowed()
    if upgrades.is_websocket(context.request):
        origins.check(context.request)
    check_options(context.route.name, context.query)
    pod = connecting.pod_of(context)
    container = connecting.container_of(pod, context.query.get("container", ""))
    target = connecting.kubelet_of(context, pod)
    if target is None:
        return http.Response(200, TEXT, b"")
    path = f"/containerLogs/{quote(context.route.namespace)}/{quote(context.route.name)}/{quote(container)}"
    query = urlencode(passed(context.query))
    try:
        response = await context.server.kubelets.client.request(target, http.Request("GET", path, query))
    except (Unavailable, DeadlineExceeded) as error:
        raise connecting.dialing(error) from error
    if response.status == 200:
        if upgrades.is_websocket(context.request):
            return await websocket_reading.content(context.request, response.body())
        return http.Response(200, TEXT, response.body())
    message = (await response.read(MESSAGE_BYTES_MAX)).decode(errors="replace").strip()
    if response.status == 404:
        message = why_no_log(pod, container)
    raise BadRequest(message)


def passed(query: Mapping[str, str]) -> list[tuple[str, str]]:
    """The kubelet's parameters for the log asked for. Pure."""
    asked = [(name, "true") for name in BOOLEANS if parameters.is_true(query.get(name))]
    return asked + [(name, query[name]) for name in PASSED if query.get(name)]


def check_options(name: str, query: Mapping[str, str]) -> None:
    """Raises Invalid with every fault of the options, as upstream's validation of PodLogOptions. Pure."""
    causes: list[Cause] = []
    for parameter, least in _LEAST.items():
        text = query.get(parameter, "")
        if not text:
            continue
        if not (text.isascii() and text.removeprefix("-").isdigit() and len(text) < 19):
            raise BadRequest(f'{parameter}: Invalid value: "{text}": must be an integer')
        if int(text) < least:
            bound = "greater than or equal to 0" if least == 0 else "greater than 0"
            causes.append(Cause(parameter, "FieldValueInvalid", f"Invalid value: {text}: must be {bound}"))
    if query.get("sinceTime"):
        try:
            clock.parse_rfc3339(query["sinceTime"])
        except ValueError as error:
            raise BadRequest(f"sinceTime: {error}") from error
        if query.get("sinceSeconds"):
            causes.append(
                Cause(
                    "",
                    "FieldValueForbidden",
                    "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified",
                )
            )
    stream = query.get("stream") or ALL
    if stream not in STREAMS:
        causes.append(faults.unsupported("stream", stream, STREAMS))
    if stream != ALL and query.get("tailLines"):
        detail = "`tailLines` and specific `stream` are mutually exclusive for now"
        causes.append(faults.forbidden("", detail))
    if causes:
        raise status.invalid("PodLogOptions", "", name, causes)


def why_no_log(pod: Json, container: str) -> str:
    """Upstream's sentence for a container whose log is not there, out of the pod's status. Pure."""
    where = f'container "{container}" in pod "{pod["metadata"]["name"]}"'
    found = _status_of(pod, container)
    state = found.get("state", {})
    if "terminated" in state:
        return f"{where} is terminated"
    if "waiting" in state:
        reason = state["waiting"].get("reason", "")
        return f"{where} is waiting to start: {_WAITING.get(reason, reason)}"
    if not found:
        return f"{where} is not available"
    return f"{where} is waiting to start - no logs yet"


def _status_of(pod: Json, container: str) -> Mapping[str, Any]:
    statuses = pod.get("status", {})
    for key in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        for found in statuses.get(key) or ():
            if found.get("name") == container:
                return dict(found)
    return {}
