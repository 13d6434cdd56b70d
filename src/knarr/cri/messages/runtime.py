"""CRI v1 messages: version, status and configuration of the runtime.

Plain frozen values with the specification's field names and proto3 zero values; a message field that is
not set is None. Windows messages are left out. Facts: cri/facts/cri.json (a test compares).
"""

from msgspec import Struct, field

from knarr.cri.messages.config import (
    NamespaceOption,
)
from knarr.cri.messages.enums import (
    CgroupDriver,
)


class LinuxRuntimeConfiguration(Struct, frozen=True, kw_only=True):
    cgroup_driver: CgroupDriver = CgroupDriver(0)


class Namespace(Struct, frozen=True, kw_only=True):
    options: NamespaceOption | None = None


class NetworkConfig(Struct, frozen=True, kw_only=True):
    pod_cidr: str = ""


class PodIP(Struct, frozen=True, kw_only=True):
    ip: str = ""


class RuntimeCondition(Struct, frozen=True, kw_only=True):
    type: str = ""
    status: bool = False
    reason: str = ""
    message: str = ""


class RuntimeConfig(Struct, frozen=True, kw_only=True):
    network_config: NetworkConfig | None = None


class RuntimeConfigRequest(Struct, frozen=True, kw_only=True):
    pass


class RuntimeConfigResponse(Struct, frozen=True, kw_only=True):
    linux: LinuxRuntimeConfiguration | None = None


class RuntimeFeatures(Struct, frozen=True, kw_only=True):
    supplemental_groups_policy: bool = False
    user_namespaces_host_network: bool = False
    mount_options: bool = False


class RuntimeHandlerFeatures(Struct, frozen=True, kw_only=True):
    recursive_read_only_mounts: bool = False
    user_namespaces: bool = False


class RuntimeHandler(Struct, frozen=True, kw_only=True):
    name: str = ""
    features: RuntimeHandlerFeatures | None = None


class RuntimeStatus(Struct, frozen=True, kw_only=True):
    conditions: tuple[RuntimeCondition, ...] = ()


class StatusRequest(Struct, frozen=True, kw_only=True):
    verbose: bool = False


class StatusResponse(Struct, frozen=True, kw_only=True):
    status: RuntimeStatus | None = None
    info: dict[str, str] = field(default_factory=dict)
    runtime_handlers: tuple[RuntimeHandler, ...] = ()
    features: RuntimeFeatures | None = None


class UpdateRuntimeConfigRequest(Struct, frozen=True, kw_only=True):
    runtime_config: RuntimeConfig | None = None


class UpdateRuntimeConfigResponse(Struct, frozen=True, kw_only=True):
    pass


class VersionRequest(Struct, frozen=True, kw_only=True):
    version: str = ""


class VersionResponse(Struct, frozen=True, kw_only=True):
    version: str = ""
    runtime_name: str = ""
    runtime_version: str = ""
    runtime_api_version: str = ""
