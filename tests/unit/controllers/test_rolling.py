"""How far a rollout steps: documented roundings, and bounds that hold for every state."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knarr.controllers.deployment import picture, rolling, scaling
from knarr.controllers.deployment.picture import Member, Wish
from knarr.kinds.lens.apps import Deployment, DeploymentSpec, DeploymentStrategy, ReplicaSet, RollingUpdateDeployment
from knarr.kinds.lens.meta import ObjectMeta


def deployment(replicas: int, surge: int | str, unavailable: int | str) -> Deployment:
    rolling_update = RollingUpdateDeployment(max_surge=surge, max_unavailable=unavailable)
    strategy = DeploymentStrategy(type="RollingUpdate", rolling_update=rolling_update)
    return Deployment(spec=DeploymentSpec(replicas=replicas, strategy=strategy))


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "wanted"),
    [
        (10, "25%", "25%", (3, 2)),  # Surge is rounded up, unavailable down.
        (3, "25%", "25%", (1, 0)),
        (1, "0%", "50%", (0, 1)),  # Both 0 could never move.
        (2, 0, 5, (0, 2)),  # No more than there are.
        (0, "25%", "25%", (0, 0)),
        (4, 1, 0, (1, 0)),
    ],
)
def test_percentages_round_as_documented(
    replicas: int, surge: int | str, unavailable: int | str, wanted: tuple[int, int]
) -> None:
    wish = picture.wish(deployment(replicas, surge, unavailable))
    assert (wish.surge, wish.unavailable) == wanted


def member(name: str, replicas: int, available: int) -> Member:
    return Member(name, replicas, min(available, replicas), None)


MEMBERS = st.builds(member, st.sampled_from("abcdef"), st.integers(0, 12), st.integers(0, 12))
WISHES = st.builds(Wish, st.integers(0, 12), st.integers(0, 5), st.integers(0, 5), st.just(True))
OLD = st.lists(MEMBERS, max_size=4, unique_by=lambda one: one.name)


@given(WISHES, st.integers(0, 12), st.integers(0, 12), OLD)
def test_a_step_stays_within_surge_and_above_the_floor(
    wish: Wish, size: int, available: int, old: list[Member]
) -> None:
    new = member("new", size, available)
    sizes = rolling.step(wish, new, old)
    every = [new, *old]
    before, after = sum(one.replicas for one in every), sum(sizes.get(one.name, one.replicas) for one in every)
    assert after <= max(before, wish.total_max)
    sure = sum(min(one.available, sizes.get(one.name, one.replicas)) for one in every)
    if sizes and new.name not in sizes:
        assert sure >= min(wish.available_min, sum(one.available for one in every))


@given(WISHES, OLD)
def test_steps_arrive_when_pods_become_available(wish: Wish, old: list[Member]) -> None:
    if wish.surge == wish.unavailable == 0:
        return  # picture.wish never gives that.
    new = member("new", 0, 0)
    for _ in range(200):
        sizes = rolling.step(wish, new, old)
        if not sizes:
            break
        new = member("new", sizes.get("new", new.replicas), 99)
        old = [member(one.name, sizes.get(one.name, one.replicas), 99) for one in old]
    assert (new.replicas, sum(one.replicas for one in old)) == (wish.replicas, 0)


def test_pods_that_are_not_available_go_first() -> None:
    wish = Wish(4, surge=1, unavailable=1, is_rolling=True)
    new, old = member("new", 1, 1), [member("a", 2, 2), member("b", 2, 0)]
    assert rolling.shrink(wish, new, old) == {"b": 0}


def test_nothing_shrinks_while_a_status_is_older_than_its_size() -> None:
    wish = Wish(2, surge=0, unavailable=1, is_rolling=True)
    old = Member("a", 2, 2, None, is_observed=False)
    assert rolling.shrink(wish, member("new", 0, 0), [old]) == {}


def sized(name: str, replicas: int, total_max: int) -> Member:
    return Member(name, replicas, replicas, None, None, total_max)


def test_a_new_size_is_shared_in_proportion() -> None:
    # The documented example: 10 replicas with surge 3 in mid-roll (8 + 5), scaled to 15.
    wish = Wish(15, surge=3, unavailable=2, is_rolling=True)
    assert scaling.sizes(wish, sized("new", 5, 13), [sized("old", 8, 13)], 13) == {"old": 11, "new": 7}


@given(WISHES, st.lists(st.integers(1, 10), min_size=2, max_size=4))
def test_sharing_adds_up(wish: Wish, numbers: list[int]) -> None:
    members = [sized(f"s{index}", number, sum(numbers)) for index, number in enumerate(numbers)]
    sizes = scaling.sizes(wish, members[0], members[1:], sum(numbers))
    wanted = wish.total_max if wish.replicas else 0
    # What rounding leaves goes to the first set alone, which has no more to give than it has.
    assert sum(sizes.values()) == wanted or (sum(sizes.values()) > wanted and min(sizes.values()) == 0)
    assert min(sizes.values()) >= 0


@pytest.mark.parametrize("text", ["", "x", "-1", "٣", "9" * 19, "9" * 5000])
def test_an_annotation_that_is_no_number_is_none(text: str) -> None:
    marked = ReplicaSet(metadata=ObjectMeta(name="a", annotations={picture.REVISION: text}))
    assert picture.number(marked, picture.REVISION) is None
