"""Label selectors in both forms, and names."""

import pytest

from knarr.base.errors import Invalid
from knarr.objects import labels, names


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("", True),
        ("app=web", True),
        ("app==web", True),
        ("app!=web", False),
        ("app", True),
        ("!app", False),
        ("!gone", True),
        ("app in (web,db)", True),
        ("app notin (web)", False),
        ("gone notin (web)", True),
        ("app in (db),tier", False),
        ("n>3", True),
        ("n<3", False),
        ("app=web,tier=front,!gone", True),
        ("empty=", True),
        ("example.com/x in (y)", True),
    ],
)
def test_a_text_chooses(text: str, chosen: bool) -> None:
    given = {"app": "web", "tier": "front", "n": "5", "empty": "", "example.com/x": "y"}
    assert labels.parse(text).matches(given) is chosen


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a=b=c", "found '=', expected: ',' or 'end of string'"),
        ("=b", "expected: !, identifier, or 'end of string'"),
        ("a in b", "expected: '('"),
        ("a in (b", "expected: ',', ')' or identifier"),
        ("a b", "expected: in, notin, =, ==, !=, gt, lt"),
        ("a,", "expected: identifier after ','"),
        ("a>x", "the value must be an integer"),
        ("-a=b", "name part must consist of alphanumeric characters"),
        ("a=" + "b" * 64, "must be no more than 63 characters"),
        ("x" * 20_000, "longer than"),
    ],
)
def test_a_text_that_is_no_selector_is_refused(text: str, why: str) -> None:
    with pytest.raises(Invalid) as error:
        labels.parse(text)
    assert why in str(error.value)


def test_a_missing_selector_chooses_nothing_and_an_empty_one_everything() -> None:
    assert not labels.of(None).matches({"a": "b"})
    assert labels.of({}).matches({})
    assert not labels.equal({}).matches({"a": "b"})


def test_expressions_and_labels_must_all_hold() -> None:
    selector = labels.of(
        {
            "matchLabels": {"app": "web"},
            "matchExpressions": [
                {"key": "tier", "operator": "NotIn", "values": ["back"]},
                {"key": "gone", "operator": "DoesNotExist"},
            ],
        }
    )
    assert selector.matches({"app": "web"})
    assert not selector.matches({"app": "web", "tier": "back"})
    assert not selector.matches({"app": "web", "gone": ""})


@pytest.mark.parametrize("name", ["a", "a-b", "a1", "1a"])
def test_good_labels(name: str) -> None:
    assert names.dns_label(name) == []


@pytest.mark.parametrize("name", ["", "A", "a_b", "-a", "a-", "a.b", "a\n", "é", "a" * 64])
def test_bad_labels(name: str) -> None:
    assert names.dns_label(name)


def test_names_with_a_line_end_are_refused_everywhere() -> None:
    assert all(
        judge("a\n")
        for judge in (names.dns_subdomain, names.dns_1035_label, names.qualified, names.label_value, names.port_name)
    )


def test_keys_of_labels_may_have_a_prefix() -> None:
    assert names.qualified("example.com/Name_1") == []
    assert names.qualified("/name") == ["prefix part must be non-empty"]
    assert names.qualified("a/b/c")
    assert names.config_key("..x") == ["must not start with '..'"]
