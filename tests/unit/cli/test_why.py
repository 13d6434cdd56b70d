"""`knarr why`: the words that name an object, what is printed, what usage errors say."""

import json
from datetime import UTC, datetime

import pytest

from knarr.cli import resources, why
from knarr.cli.printing import Failure
from knarr.diagnosis.finding import Diagnosis, Finding
from knarr.diagnosis.scene import Scene

SUBJECT = {"kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"}}
SCENE = Scene(SUBJECT, now=datetime(2030, 1, 1, tzinfo=UTC))
CRASH = Finding("container c failed", ("exit code 3", "log: a\nb"), "mend it", "crashing", ("pod/web-1", "pod/web-2"))
BLOCKED = Finding("the roll-out waits", (), "undo it", "rollout_blocked", ("deployment/web",))


def test_an_object_is_named_in_one_word_or_two() -> None:
    assert why.asked(["deployment/web"]) == why.asked(["deployment", "web"]) == ("deployment", "web")


@pytest.mark.parametrize("words", [["web"], ["pod/"], ["/web"], ["a", "b", "c"], ["a/b/c"]], ids="|".join)
def test_words_that_name_no_object_are_a_usage_error(words: list[str]) -> None:
    with pytest.raises(Failure, match="names no object") as failure:
        why.asked(words)
    assert failure.value.code == 2


def test_the_path_of_a_resource() -> None:
    assert resources.of_kind("Deployment").path("shop", "web") == "/apis/apps/v1/namespaces/shop/deployments/web"
    assert resources.of_kind("Node").path("", "a/b") == "/api/v1/nodes/a%2Fb"
    assert resources.of_kind("Pod").path("") == "/api/v1/pods"


def test_the_first_finding_leads_and_others_follow() -> None:
    assert why.text(SCENE, Diagnosis((CRASH, BLOCKED), ("deployment/web",))) == [
        "deployment/web: container c failed (2 pods, pod/web-1 among them)",
        "  seen: exit code 3",
        "  seen: log: a\n        b",
        "  next: mend it",
        "",
        "also: the roll-out waits",
        "  next: undo it",
    ]


def test_without_findings_it_says_what_it_looked_at() -> None:
    assert why.text(SCENE, Diagnosis((), ("deployment/web", "its pods (2)"))) == [
        "deployment/web: nothing is wrong: it is as its spec wants it",
        "  looked at: deployment/web, its pods (2)",
    ]


def test_many_findings_are_cut_short_in_text_only() -> None:
    many = Diagnosis(tuple(Finding(f"cause {number}", (), "") for number in range(9)), ())
    assert why.text(SCENE, many)[-1] == "4 more findings: -o json shows them"
    shown = json.loads(json.dumps(why.as_json(SCENE, many)))
    assert len(shown["findings"]) == 9
    assert (shown["kind"], shown["namespace"], shown["name"]) == ("Deployment", "shop", "web")
