"""The kubelet's configuration file: KubeletConfiguration of kubelet.config.k8s.io/v1beta1, the fields that are served.

`read` refuses what it does not know, so that no wish is silently ignored; `applied` puts it into the settings. Pure.
Spec: reference "Kubelet Configuration (v1beta1)". Vocabulary: a *quantity or percentage* is `100Mi` or `10%`.
"""

from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

from knarr.base import durations
from knarr.base.errors import Invalid
from knarr.kubelet import eviction, image_gc, quantities, restarts
from knarr.kubelet.eviction import SIGNALS, Threshold
from knarr.kubelet.memory_rules import MemoryRules
from knarr.kubelet.settings import KubeletSettings

API_VERSION: Final = "kubelet.config.k8s.io/v1beta1"
KIND: Final = "KubeletConfiguration"
LIMITED_SWAP: Final = "LimitedSwap"
SWAP_BEHAVIORS: Final = (LIMITED_SWAP, "NoSwap")


class MemorySwap(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Who may swap: nobody (NoSwap, and if nothing is said), or containers by their part of the memory."""

    swap_behavior: str = ""


class CrashLoopBackOffConfig(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """How long a container that fails again and again waits at most."""

    max_container_restart_period: str = ""


class KubeletConfiguration(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Fields in upstream's words; None and empty: the kubelet's own default."""

    api_version: str = API_VERSION
    kind: str = KIND
    static_pod_path: str = ""
    allowed_unsafe_sysctls: tuple[str, ...] = ()
    max_pods: int | None = None
    pod_pids_limit: int | None = None
    single_process_oom_kill: bool | None = msgspec.field(default=None, name="singleProcessOOMKill")
    memory_swap: MemorySwap = MemorySwap()
    crash_loop_back_off: CrashLoopBackOffConfig = CrashLoopBackOffConfig()
    container_log_max_size: str = ""
    container_log_max_files: int | None = None
    image_minimum_gc_age: str = msgspec.field(default="", name="imageMinimumGCAge")
    image_maximum_gc_age: str = msgspec.field(default="", name="imageMaximumGCAge")
    image_gc_high_threshold_percent: int | None = msgspec.field(default=None, name="imageGCHighThresholdPercent")
    image_gc_low_threshold_percent: int | None = msgspec.field(default=None, name="imageGCLowThresholdPercent")
    eviction_hard: dict[str, str] = {}
    eviction_soft: dict[str, str] = {}
    eviction_soft_grace_period: dict[str, str] = {}
    eviction_minimum_reclaim: dict[str, str] = {}
    eviction_pressure_transition_period: str = ""
    eviction_max_pod_grace_period: int | None = None


def read(found: object) -> KubeletConfiguration:
    """The configuration of a decoded file. Raises Invalid, naming the field."""
    try:
        read_ = msgspec.convert(found, KubeletConfiguration)
    except msgspec.ValidationError as error:
        raise Invalid(f"kubelet configuration: {error}") from error
    if (read_.api_version, read_.kind) != (API_VERSION, KIND):
        raise Invalid(f"kubelet configuration: wanted {API_VERSION} {KIND}, found {read_.api_version} {read_.kind}")
    return read_


def applied(settings: KubeletSettings, wanted: KubeletConfiguration) -> KubeletSettings:
    """The settings with what the file says. Raises Invalid."""
    changes: dict[str, object] = {
        "max_pods": wanted.max_pods,
        "pod_pids_max": wanted.pod_pids_limit,
        "memory_rules": _memory_rules(settings.memory_rules, wanted),
        "container_log_files_max": wanted.container_log_max_files,
        "eviction_grace_seconds_max": wanted.eviction_max_pod_grace_period,
        "container_log_bytes_max": _bytes("containerLogMaxSize", wanted.container_log_max_size),
        "static_pod_dir": Path(wanted.static_pod_path) if wanted.static_pod_path else None,
        "unsafe_sysctls": wanted.allowed_unsafe_sysctls or None,
        "image_policy": _image_policy(wanted),
        "thresholds": _thresholds(wanted),
        "restart_seconds_max": _restart_seconds(wanted.crash_loop_back_off.max_container_restart_period),
    }
    period = wanted.eviction_pressure_transition_period
    changes["pressure_transition_seconds"] = seconds("evictionPressureTransitionPeriod", period) if period else None
    return replace(settings, **{key: value for key, value in changes.items() if value is not None})  # type: ignore[arg-type]  # each value is its field's type, by the lines above


def shown(settings: KubeletSettings) -> dict[str, object]:
    """The effective configuration, in upstream's words, for /configz."""
    hard = {t.signal: _shown(t) for t in settings.thresholds if not t.grace_seconds}
    soft = {t.signal: t for t in settings.thresholds if t.grace_seconds}
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "staticPodPath": str(settings.static_pod_dir or ""),
        "allowedUnsafeSysctls": list(settings.unsafe_sysctls),
        "maxPods": settings.max_pods,
        "podPidsLimit": settings.pod_pids_max,
        "singleProcessOOMKill": not settings.memory_rules.kills_together,
        "memorySwap": {"swapBehavior": LIMITED_SWAP} if settings.memory_rules.swap_bytes else {},
        "crashLoopBackOff": {
            "maxContainerRestartPeriod": _duration(restarts.rule(settings.backoff, settings.restart_seconds_max).cap)
        },
        "containerLogMaxSize": str(settings.container_log_bytes_max),
        "containerLogMaxFiles": settings.container_log_files_max,
        "imageMinimumGCAge": _duration(settings.image_policy.age_seconds),
        "imageMaximumGCAge": _duration(settings.image_policy.age_seconds_max),
        "imageGCHighThresholdPercent": settings.image_policy.high,
        "imageGCLowThresholdPercent": settings.image_policy.low,
        "evictionHard": hard,
        "evictionSoft": {signal: _shown(threshold) for signal, threshold in soft.items()},
        "evictionSoftGracePeriod": {signal: _duration(threshold.grace_seconds) for signal, threshold in soft.items()},
        "evictionMinimumReclaim": {t.signal: str(t.reclaim) for t in settings.thresholds if t.reclaim},
        "evictionPressureTransitionPeriod": _duration(settings.pressure_transition_seconds),
        "evictionMaxPodGracePeriod": settings.eviction_grace_seconds_max,
        "clusterDomain": settings.cluster_domain,
        "clusterDNS": list(settings.cluster_dns),
    }


def _shown(threshold: Threshold) -> str:
    return str(threshold.amount) if threshold.amount else f"{threshold.share * 100:g}%"


def _duration(seconds_: float) -> str:
    """As Go prints it, which is how it may be read again."""
    return durations.shown(round(seconds_ * durations.SECOND))


def _memory_rules(rules: MemoryRules, wanted: KubeletConfiguration) -> MemoryRules:
    behavior, kills_alone = wanted.memory_swap.swap_behavior, wanted.single_process_oom_kill
    if behavior not in ("", *SWAP_BEHAVIORS):
        text = f"memorySwap.swapBehavior: {behavior!r} is none of {', '.join(SWAP_BEHAVIORS)}"
        raise Invalid(f"kubelet configuration: {text}")
    if kills_alone is False and not rules.is_v2:
        text = "singleProcessOOMKill must not be explicitly set to false when using cgroup v1"
        raise Invalid(f"kubelet configuration: {text}")
    if behavior == LIMITED_SWAP and rules.swap_bytes is not None:
        rules = replace(rules, swap_bytes=rules.swap_capacity)
    return rules if kills_alone is None else replace(rules, kills_together=not kills_alone)


def _bytes(field: str, text: str) -> int | None:
    if not text:
        return None
    size = quantities.whole(text)
    if size <= 0:
        raise Invalid(f"kubelet configuration: {field}: {text!r} is not a size")
    return size


def _image_policy(wanted: KubeletConfiguration) -> image_gc.Policy:
    policy = image_gc.Policy()
    high = policy.high if wanted.image_gc_high_threshold_percent is None else wanted.image_gc_high_threshold_percent
    low = policy.low if wanted.image_gc_low_threshold_percent is None else wanted.image_gc_low_threshold_percent
    if not 0 <= low < high <= 100:
        text = f"imageGCHighThresholdPercent {high} must be above imageGCLowThresholdPercent {low}, both of 0 to 100"
        raise Invalid(f"kubelet configuration: {text}")
    least, most = policy.age_seconds, policy.age_seconds_max
    if wanted.image_minimum_gc_age:
        least = seconds("imageMinimumGCAge", wanted.image_minimum_gc_age)
    if wanted.image_maximum_gc_age:
        most = seconds("imageMaximumGCAge", wanted.image_maximum_gc_age)
    if 0 < most <= least:
        text = f"imageMaximumGCAge {_duration(most)} must be greater than imageMinimumGCAge {_duration(least)}"
        raise Invalid(f"kubelet configuration: {text}")
    return image_gc.Policy(high, low, least, most)


def _restart_seconds(text: str) -> float | None:
    if not text:
        return None
    field = "crashLoopBackOff.maxContainerRestartPeriod"
    found = seconds(field, text)
    if not 1 <= found <= 300:
        raise Invalid(f"kubelet configuration: {field}: {text!r} is not between 1s and 300s")
    return found


def _thresholds(wanted: KubeletConfiguration) -> tuple[Threshold, ...]:
    """Upstream replaces all hard defaults when one is given; so does this."""
    hard = tuple(_threshold("evictionHard", *item) for item in wanted.eviction_hard.items()) or eviction.HARD
    soft = []
    for signal, text in wanted.eviction_soft.items():
        if signal not in wanted.eviction_soft_grace_period:
            raise Invalid(f"kubelet configuration: evictionSoftGracePeriod: there is none for {signal}")
        grace = seconds(f"evictionSoftGracePeriod[{signal}]", wanted.eviction_soft_grace_period[signal])
        soft.append(replace(_threshold("evictionSoft", signal, text), grace_seconds=grace))
    return tuple(
        replace(each, reclaim=quantities.whole(wanted.eviction_minimum_reclaim.get(each.signal, "0")))
        for each in (*hard, *soft)
    )


def _threshold(field: str, signal: str, text: str) -> Threshold:
    if signal not in SIGNALS:
        raise Invalid(f"kubelet configuration: {field}: unknown eviction signal {signal!r}")
    if text.endswith("%"):
        try:
            share = float(text[:-1]) / 100
        except ValueError:
            share = -1.0
        if not 0 <= share <= 1:
            raise Invalid(f"kubelet configuration: {field}[{signal}]: {text!r} is not a percentage")
        return Threshold(signal, share=share)
    amount = quantities.whole(text)
    if amount < 0 or (amount == 0 and text != "0"):
        raise Invalid(f"kubelet configuration: {field}[{signal}]: {text!r} is not a quantity")
    return Threshold(signal, amount=amount)


def seconds(field: str, text: str) -> float:
    """The seconds of a duration as Go writes it (`1m30s`), not negative. Raises Invalid."""
    try:
        found = durations.seconds(text)
    except Invalid as error:
        raise Invalid(f"kubelet configuration: {field}: {text!r} is not a duration") from error
    if found < 0:
        raise Invalid(f"kubelet configuration: {field}: {text!r} is negative")
    return found
