"""Where a probe or hook goes: named ports resolved, the host chosen, the URL built. Pure."""

from dataclasses import dataclass
from urllib.parse import quote

from knarr.base.errors import Invalid
from knarr.kinds.lens.probes import HTTPGetAction, TCPSocketAction
from knarr.kubelet.members import AnyContainer


@dataclass(frozen=True, slots=True)
class HttpTarget:
    """One GET: `headers` are the spec's, in order."""

    scheme: str
    host: str
    port: int
    path: str
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def url(self) -> str:
        return f"{self.scheme}://{authority(self.host, self.port)}{self.path}"


def authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def http(action: HTTPGetAction, container: AnyContainer, pod_ip: str) -> HttpTarget:
    path = escaped((action.path or "/").partition("#")[0])
    return HttpTarget(
        scheme=(action.scheme or "HTTP").lower(),
        host=action.host or pod_ip,
        port=port_number(action.port, container),
        path=path if path.startswith("/") else f"/{path}",
        headers=tuple((header.name, header.value) for header in action.http_headers),
    )


def escaped(path: str) -> str:
    """A path and query as a request line may have it: what is escaped stays so, spaces and the like become so."""
    return quote(path, safe="%/:=&?~+!$,;'@()*[]")


def tcp(action: TCPSocketAction, container: AnyContainer, pod_ip: str) -> tuple[str, int]:
    return action.host or pod_ip, port_number(action.port, container)


def port_number(port: int | str, container: AnyContainer) -> int:
    """A port by number or by the name it has in the container's spec."""
    if isinstance(port, int):
        return port
    for named in container.ports:
        if named.name == port:
            return named.container_port
    if port.isascii() and port.isdigit():
        return int(port)
    raise Invalid(f"couldn't find port: {port}")
