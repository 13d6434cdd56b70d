"""KubeSchedulerConfiguration files: what they say, and what is refused with its path."""

from dataclasses import replace

import pytest

from knarr.base.errors import Invalid
from knarr.scheduler.configuration import parsed
from knarr.scheduler.profile import DEFAULT, DEFAULT_CONFIGURATION, WEIGHTS, Configuration, Fit, Profile

HEAD = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n"


def profile(text: str) -> Profile:
    """The one profile that a file's `profiles[0]` gives."""
    (found,) = parsed(HEAD + "profiles:\n- " + text).profiles.values()
    return found


def test_an_empty_file_is_the_default() -> None:
    assert parsed(HEAD) == DEFAULT_CONFIGURATION


def test_backoff_and_names_are_read() -> None:
    text = "podInitialBackoffSeconds: 2\npodMaxBackoffSeconds: 5\npercentageOfNodesToScore: 30\n"
    found = parsed(HEAD + text + "profiles: [{schedulerName: a}, {schedulerName: b, percentageOfNodesToScore: 50}]")
    expected = {
        "a": replace(DEFAULT, name="a", percentage_of_nodes_to_score=30),
        "b": replace(DEFAULT, name="b", percentage_of_nodes_to_score=50),
    }
    assert found == Configuration(expected, 2, 5)


def test_plugins_are_disabled_enabled_and_weighed() -> None:
    found = profile(
        "plugins: {filter: {disabled: [{name: TaintToleration}]}, postFilter: {disabled: [{name: '*'}]},"
        " score: {disabled: [{name: '*'}], enabled: [{name: ImageLocality, weight: 7}, {name: NodeAffinity}]}}"
    )
    assert found == replace(
        DEFAULT,
        filters=DEFAULT.filters - {"TaintToleration"},
        weights={"ImageLocality": 7, "NodeAffinity": 2},
        can_preempt=False,
    )


def test_multi_point_reaches_every_point_and_the_point_itself_has_the_last_word() -> None:
    found = profile(
        "plugins: {multiPoint: {disabled: [{name: PodTopologySpread}], enabled: [{name: NodeAffinity, weight: 9}]},"
        " score: {enabled: [{name: PodTopologySpread, weight: 4}]}}"
    )
    assert found.filters == DEFAULT.filters - {"PodTopologySpread"}
    assert found.weights == {**WEIGHTS, "NodeAffinity": 9, "PodTopologySpread": 4}


def test_args_are_read() -> None:
    strategy = (
        "{type: RequestedToCapacityRatio, resources: [{name: example.com/gpu, weight: 5}],"
        " requestedToCapacityRatio: {shape: [{utilization: 0, score: 0}, {utilization: 100, score: 10}]}}"
    )
    fit = f"{{name: NodeResourcesFit, args: {{scoringStrategy: {strategy}, ignoredResources: [example.com/x]}}}}"
    others = "{name: InterPodAffinity, args: {hardPodAffinityWeight: 50}}"
    expected = Fit(
        "RequestedToCapacityRatio", (("example.com/gpu", 5),), ((0, 0), (100, 100)), frozenset({"example.com/x"})
    )
    assert profile(f"pluginConfig: [{fit}, {others}]") == replace(DEFAULT, fit=expected, hard_pod_affinity_weight=50)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("colour: red", "Object contains unknown field `colour`"),
        ("extenders: [{urlPrefix: http://x}]", "extenders: scheduler extenders are not supported"),
        ("percentageOfNodesToScore: 101", "percentageOfNodesToScore: 101 is not in 0…100"),
        ("profiles: [{schedulerName: a}, {schedulerName: a}]", "profiles[1].schedulerName: 'a' is empty or names"),
        (
            "profiles: [{plugins: {score: {enabled: [{name: Coscheduling}]}}}]",
            "profiles[0].plugins.score.enabled[0].name: 'Coscheduling' is no plugin of this scheduler",
        ),
        (
            "profiles: [{plugins: {score: {enabled: [{name: NodePorts}]}}}]",
            "profiles[0].plugins.score.enabled: NodePorts does not extend score",
        ),
        ("profiles: [{plugins: {bind: {disabled: [{name: '*'}]}}}]", "profiles[0].plugins.bind: DefaultBinder is the"),
        (
            "profiles: [{pluginConfig: [{name: NodePorts, args: {}}]}]",
            "profiles[0].pluginConfig[0].args: NodePorts takes no args",
        ),
        (
            "profiles: [{pluginConfig: [{name: NodeResourcesFit, args: {scoringStrategy: {type: Best}}}]}]",
            "profiles[0].pluginConfig[0].args: Invalid enum value 'Best'",
        ),
        (
            "profiles: [{pluginConfig: [{name: PodTopologySpread, args: {defaultingType: System, "
            "defaultConstraints: [{maxSkew: 1, topologyKey: z, whenUnsatisfiable: ScheduleAnyway}]}}]}]",
            "profiles[0].pluginConfig[0].args.defaultConstraints: must be empty when defaultingType is System",
        ),
    ],
)
def test_what_is_wrong_is_named(text: str, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        parsed(HEAD + text)
    assert str(caught.value).startswith(message)


def test_another_kind_is_refused() -> None:
    with pytest.raises(Invalid, match="apiVersion, kind: v1 Pod is not"):
        parsed("apiVersion: v1\nkind: Pod")
