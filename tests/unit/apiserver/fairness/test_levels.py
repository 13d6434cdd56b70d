"""Queues of a level: shuffle sharding, fair service, bounds."""

import msgspec
from hypothesis import given
from hypothesis import strategies as some

from knarr.apiserver.fairness import levels
from knarr.apiserver.fairness.levels import Level


def level(queues: int, hand: int, length: int, *, shares: int = 30, lendable: int = 0) -> Level[str]:
    response = {"type": "Queue", "queuing": {"queues": queues, "handSize": hand, "queueLengthLimit": length}}
    limited = {"nominalConcurrencyShares": shares, "lendablePercent": lendable, "limitResponse": response}
    value = {"metadata": {"name": "l"}, "spec": {"type": "Limited", "limited": limited}}
    return Level(levels.decode(msgspec.json.encode(value)))


@given(some.text(max_size=20), some.integers(1, 128), some.integers(1, 10))
def test_a_hand_is_of_different_queues_and_always_the_same(flow: str, queues: int, size: int) -> None:
    hand = levels.dealt(flow, queues, size)

    assert hand == levels.dealt(flow, queues, size)
    assert len(hand) == len({*hand}) == min(size, queues)
    assert all(0 <= index < queues for index in hand)


def test_a_flood_fills_its_hand_and_is_refused() -> None:
    one = level(64, 6, 50)
    hand = one.hand("s/flood")

    assert [one.enqueued(hand, "x") for _ in range(301)] == [True] * 300 + [False]
    assert one.waiting == 300


def test_a_quiet_flow_is_served_after_one_round_of_the_queues() -> None:
    one = level(64, 6, 50)
    for _ in range(300):
        one.enqueued((0, 1, 2, 3, 4, 5), "flood")
    for _ in range(20):
        one.taken(lambda _ticket: 1.0)
    one.enqueued((9,), "quiet")

    assert "quiet" in [one.taken(lambda _ticket: 1.0) for _ in range(7)]


def test_a_queue_of_costly_requests_gets_fewer_turns() -> None:
    one = level(8, 1, 50)
    for _ in range(20):
        one.enqueued((0,), "long")
        one.enqueued((1,), "short")
    costs = {"long": 10.0, "short": 1.0}

    served = [one.taken(lambda ticket: costs[ticket]) for _ in range(12)]

    assert served.count("long") == 2


def test_an_emptied_level_forgets() -> None:
    one = level(8, 1, 50)
    one.enqueued((0,), "a")

    assert (one.taken(lambda _ticket: 1.0), one.taken(lambda _ticket: 1.0)) == ("a", None)
    assert (one.waiting, one.queues, one.work) == (0, {}, {})


def test_seats_are_shared_out_in_the_measure_of_shares() -> None:
    pair = [level(8, 1, 50, shares=20, lendable=50), level(8, 1, 50, shares=40)]
    levels.share_out(pair, 60)

    assert [one.seats for one in pair] == [20, 40]
    assert [one.idle_lendable for one in pair] == [10, 0]
