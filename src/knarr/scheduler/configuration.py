"""Configuration: a KubeSchedulerConfiguration file (kubescheduler.config.k8s.io/v1) as profiles and numbers.

What concerns the process of kube-scheduler and not its decisions (leaderElection, clientConnection, parallelism) is
accepted and has no effect here. Extenders, unknown fields and unknown plugins are refused with the field's path.
Vocabulary: a *plugin set* enables and disables plugins at one extension point; multiPoint does it at all of them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

import msgspec
import yaml
from msgspec import Struct

from knarr.base.errors import Invalid
from knarr.kinds.lens.scheduling import NodeAffinity, TopologySpreadConstraint
from knarr.scheduler import profile as profiles
from knarr.scheduler.profile import FILTERS, PREEMPTION, WEIGHTS, Configuration, Fit, Profile, Weighted

API_VERSION: Final = "kubescheduler.config.k8s.io/v1"
KIND: Final = "KubeSchedulerConfiguration"
GATES, SORT, BINDER = "SchedulingGates", "PrioritySort", "DefaultBinder"
# Extension points that a plugin set may name → the plugins that stand there.
POINTS: Final[Mapping[str, frozenset[str]]] = {
    "filter": frozenset(FILTERS),
    "score": frozenset(WEIGHTS),
    "postFilter": frozenset({PREEMPTION}),
    "preEnqueue": frozenset({GATES}),
    "queueSort": frozenset({SORT}),
    "bind": frozenset({BINDER}),
}
KNOWN: Final = frozenset().union(*POINTS.values())
T = TypeVar("T")


class _Part(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    pass


class _Typed(_Part, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    api_version: str = API_VERSION
    kind: str = ""


class _Plugin(_Part, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    name: str
    weight: int = 0


class _PluginSet(_Part, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    enabled: tuple[_Plugin, ...] = ()
    disabled: tuple[_Plugin, ...] = ()


class _Plugins(_Part, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    multi_point: _PluginSet = _PluginSet()
    pre_enqueue: _PluginSet = _PluginSet()
    queue_sort: _PluginSet = _PluginSet()
    pre_filter: _PluginSet = _PluginSet()
    filter: _PluginSet = _PluginSet()
    post_filter: _PluginSet = _PluginSet()
    pre_score: _PluginSet = _PluginSet()
    score: _PluginSet = _PluginSet()
    reserve: _PluginSet = _PluginSet()
    permit: _PluginSet = _PluginSet()
    pre_bind: _PluginSet = _PluginSet()
    bind: _PluginSet = _PluginSet()
    post_bind: _PluginSet = _PluginSet()


class _PluginConfig(_Part, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    name: str
    args: dict[str, Any] = {}


class _ProfileFile(_Part, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    scheduler_name: str = profiles.DEFAULT_NAME
    percentage_of_nodes_to_score: int | None = None
    plugins: _Plugins = _Plugins()
    plugin_config: tuple[_PluginConfig, ...] = ()


class _File(_Part, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    api_version: str
    kind: str
    profiles: tuple[_ProfileFile, ...] = ()
    percentage_of_nodes_to_score: int = 0
    pod_initial_backoff_seconds: int = 1
    pod_max_backoff_seconds: int = 10
    extenders: tuple[Any, ...] = ()
    parallelism: int = 16
    leader_election: dict[str, Any] = {}
    client_connection: dict[str, Any] = {}
    enable_profiling: bool = True
    enable_contention_profiling: bool = True
    delay_cache_until_active: bool = False
    metadata: dict[str, Any] = {}


class _Resource(_Part, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    name: str
    weight: int = 1


class _Point(_Part, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    utilization: int
    score: int


class _Ratio(_Part, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    shape: tuple[_Point, ...] = ()


class _ScoringStrategy(_Part, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    type: profiles.Strategy = "LeastAllocated"
    resources: tuple[_Resource, ...] = ()
    requested_to_capacity_ratio: _Ratio | None = None


class _FitArgs(_Typed, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    ignored_resources: tuple[str, ...] = ()
    ignored_resource_groups: tuple[str, ...] = ()
    scoring_strategy: _ScoringStrategy = _ScoringStrategy()


class _BalancedArgs(_Typed, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    resources: tuple[_Resource, ...] = ()


class _NodeAffinityArgs(_Typed, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    added_affinity: NodeAffinity | None = None


class _InterPodArgs(_Typed, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    hard_pod_affinity_weight: int = 1
    ignore_preferred_terms_of_existing_pods: bool = False


class _SpreadArgs(_Typed, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    default_constraints: tuple[TopologySpreadConstraint, ...] = ()
    defaulting_type: str = "System"


class _PreemptionArgs(_Typed, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    min_candidate_nodes_percentage: int = 10
    min_candidate_nodes_absolute: int = 100


class _VolumeBindingArgs(_Typed, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    bind_timeout_seconds: int = 600
    shape: tuple[_Point, ...] = ()


def parsed(text: str) -> Configuration:
    """The configuration of a file's text. Raises Invalid with the path of what is wrong."""
    try:
        given = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise Invalid(f"the scheduler's configuration is not YAML: {error}") from error
    file = _converted(given, _File, "")
    if (file.api_version, file.kind) != (API_VERSION, KIND):
        raise Invalid(f"apiVersion, kind: {file.api_version} {file.kind} is not {API_VERSION} {KIND}")
    if file.extenders:
        raise Invalid("extenders: scheduler extenders are not supported")
    _bounded("percentageOfNodesToScore", file.percentage_of_nodes_to_score, 0, 100)
    _bounded("podInitialBackoffSeconds", file.pod_initial_backoff_seconds, 1, 86400)
    _bounded("podMaxBackoffSeconds", file.pod_max_backoff_seconds, file.pod_initial_backoff_seconds, 86400)
    found: dict[str, Profile] = {}
    for index, each in enumerate(file.profiles or (_ProfileFile(),)):
        path = f"profiles[{index}]"
        if not each.scheduler_name or each.scheduler_name in found:
            raise Invalid(f"{path}.schedulerName: {each.scheduler_name!r} is empty or names another profile too")
        found[each.scheduler_name] = _profile(each, file.percentage_of_nodes_to_score, path)
    return Configuration(found, file.pod_initial_backoff_seconds, file.pod_max_backoff_seconds)


def _profile(file: _ProfileFile, percentage: int, path: str) -> Profile:
    plugins, where = file.plugins, f"{path}.plugins"
    for point in plugins.__struct_fields__:
        _check_names(getattr(plugins, point), f"{where}.{_camel(point)}")
    chosen = {
        point: _enabled(point, (plugins.multi_point, getattr(plugins, _snake(point))), f"{where}.{point}")
        for point in POINTS
    }
    for point, name in (("queueSort", SORT), ("bind", BINDER)):
        if name not in chosen[point]:
            raise Invalid(f"{where}.{point}: {name} is the only plugin here and cannot be disabled")
    if file.percentage_of_nodes_to_score is not None:
        percentage = file.percentage_of_nodes_to_score
        _bounded(f"{path}.percentageOfNodesToScore", percentage, 0, 100)
    profile = Profile(
        name=file.scheduler_name,
        filters=frozenset(chosen["filter"]),
        weights=chosen["score"],
        can_preempt=PREEMPTION in chosen["postFilter"],
        is_gating=GATES in chosen["preEnqueue"],
        percentage_of_nodes_to_score=percentage,
    )
    return _with_args(profile, file.plugin_config, path)


def _check_names(plugins: _PluginSet, path: str) -> None:
    for kind, listed in (("enabled", plugins.enabled), ("disabled", plugins.disabled)):
        for index, plugin in enumerate(listed):
            if plugin.name not in KNOWN and not (kind == "disabled" and plugin.name == "*"):
                raise Invalid(f"{path}.{kind}[{index}].name: {plugin.name!r} is no plugin of this scheduler")


def _enabled(point: str, sets: Sequence[_PluginSet], path: str) -> dict[str, int]:
    """The plugins at a point with their weights: the defaults, then what multiPoint and the point itself say."""
    found = {name: WEIGHTS.get(name, 1) for name in POINTS[point]}
    for index, plugins in enumerate(sets):
        is_own = index == 1
        for plugin in plugins.disabled:
            for name in list(found) if plugin.name == "*" else [plugin.name]:
                found.pop(name, None)
        for plugin in plugins.enabled:
            if plugin.name in POINTS[point]:
                found[plugin.name] = plugin.weight or found.get(plugin.name) or WEIGHTS.get(plugin.name, 1)
            elif is_own:
                raise Invalid(f"{path}.enabled: {plugin.name} does not extend {point}")
    return found


def _with_args(profile: Profile, given: Sequence[_PluginConfig], path: str) -> Profile:
    seen: set[str] = set()
    for index, config in enumerate(given):
        where = f"{path}.pluginConfig[{index}]"
        if config.name in seen:
            raise Invalid(f"{where}.name: {config.name!r} is configured twice")
        seen.add(config.name)
        read = ARGS.get(config.name)
        if read is None and config.name not in KNOWN:
            raise Invalid(f"{where}.name: {config.name!r} is no plugin of this scheduler")
        if read is None:
            raise Invalid(f"{where}.args: {config.name} takes no args")
        profile = read(profile, config.args, f"{where}.args")
    return profile


def _fit(profile: Profile, args: Any, path: str) -> Profile:
    given = _converted(args, _FitArgs, path)
    strategy = given.scoring_strategy
    shape = strategy.requested_to_capacity_ratio.shape if strategy.requested_to_capacity_ratio else ()
    if strategy.type == "RequestedToCapacityRatio":
        _check_shape(shape, f"{path}.scoringStrategy.requestedToCapacityRatio.shape")
    fit = Fit(
        strategy.type,
        _weighted(strategy.resources, f"{path}.scoringStrategy.resources"),
        tuple((point.utilization, point.score * 10) for point in shape),
        frozenset(given.ignored_resources),
        frozenset(given.ignored_resource_groups),
    )
    return replace(profile, fit=fit)


def _check_shape(shape: Sequence[_Point], path: str) -> None:
    if not shape:
        raise Invalid(f"{path}: at least one point is required")
    for index, point in enumerate(shape):
        _bounded(f"{path}[{index}].utilization", point.utilization, 0, 100)
        _bounded(f"{path}[{index}].score", point.score, 0, 10)
        if index and point.utilization <= shape[index - 1].utilization:
            raise Invalid(f"{path}[{index}].utilization: {point.utilization} is not above the one before")


def _weighted(resources: Sequence[_Resource], path: str) -> Weighted:
    for index, resource in enumerate(resources):
        _bounded(f"{path}[{index}].weight", resource.weight, 1, 100)
    return tuple((each.name, each.weight) for each in resources) or profiles.CPU_AND_MEMORY


def _balanced(profile: Profile, args: Any, path: str) -> Profile:
    given = _converted(args, _BalancedArgs, path)
    return replace(profile, balanced=_weighted(given.resources, f"{path}.resources"))


def _node_affinity(profile: Profile, args: Any, path: str) -> Profile:
    return replace(profile, added_affinity=_converted(args, _NodeAffinityArgs, path).added_affinity)


def _inter_pod(profile: Profile, args: Any, path: str) -> Profile:
    given = _converted(args, _InterPodArgs, path)
    _bounded(f"{path}.hardPodAffinityWeight", given.hard_pod_affinity_weight, 0, 100)
    return replace(
        profile,
        hard_pod_affinity_weight=given.hard_pod_affinity_weight,
        ignores_preferred_terms_of_existing_pods=given.ignore_preferred_terms_of_existing_pods,
    )


def _spreading(profile: Profile, args: Any, path: str) -> Profile:
    given = _converted(args, _SpreadArgs, path)
    if given.defaulting_type not in ("System", "List"):
        raise Invalid(f"{path}.defaultingType: {given.defaulting_type!r} is neither System nor List")
    if given.defaulting_type == "System":
        if given.default_constraints:
            raise Invalid(f"{path}.defaultConstraints: must be empty when defaultingType is System")
        return profile
    for index, each in enumerate(given.default_constraints):
        if each.label_selector is not None:
            raise Invalid(f"{path}.defaultConstraints[{index}].labelSelector: must be empty: the pods' sets decide")
        if each.when_unsatisfiable not in ("DoNotSchedule", "ScheduleAnyway") or each.max_skew < 1:
            raise Invalid(f"{path}.defaultConstraints[{index}]: whenUnsatisfiable or maxSkew is missing or wrong")
    return replace(profile, default_spreads=given.default_constraints, is_system_spreading=False)


def _preemption(profile: Profile, args: Any, path: str) -> Profile:
    given = _converted(args, _PreemptionArgs, path)
    _bounded(f"{path}.minCandidateNodesPercentage", given.min_candidate_nodes_percentage, 0, 100)
    _bounded(f"{path}.minCandidateNodesAbsolute", given.min_candidate_nodes_absolute, 0, 1_000_000)
    return replace(
        profile,
        candidates_percentage=given.min_candidate_nodes_percentage,
        candidates_min=given.min_candidate_nodes_absolute,
    )


def _volume_binding(profile: Profile, args: Any, path: str) -> Profile:
    given = _converted(args, _VolumeBindingArgs, path)
    if given.shape:
        raise Invalid(f"{path}.shape: scoring nodes by the capacity of their storage is not supported")
    return replace(profile, bind_timeout_seconds=given.bind_timeout_seconds)


ARGS: Final[Mapping[str, Callable[[Profile, Any, str], Profile]]] = {
    "NodeResourcesFit": _fit,
    "NodeResourcesBalancedAllocation": _balanced,
    "NodeAffinity": _node_affinity,
    "InterPodAffinity": _inter_pod,
    "PodTopologySpread": _spreading,
    PREEMPTION: _preemption,
    "VolumeBinding": _volume_binding,
}


def _converted(given: Any, shape: type[T], path: str) -> T:
    try:
        return msgspec.convert(given, shape)
    except msgspec.ValidationError as error:
        said = str(error)
        raise Invalid(f"{path}: {said}" if path else said) from error


def _bounded(path: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise Invalid(f"{path}: {value} is not in {least}…{most}")


def _camel(field: str) -> str:
    first, *rest = field.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _snake(field: str) -> str:
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in field)
