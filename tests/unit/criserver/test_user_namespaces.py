"""What CRI may ask of a pod's user namespace, and which id of the host is whose."""

import pytest

from knarr.base import id_mappings
from knarr.base.errors import Invalid
from knarr.base.id_mappings import IdMapping, IdMappings
from knarr.cri.messages.config import IDMapping, NamespaceOption, UserNamespace
from knarr.cri.messages.enums import NamespaceMode
from knarr.criserver import user_namespaces

RANGE = (IDMapping(host_id=65536, container_id=0, length=65536),)
PAIR = (*RANGE, IDMapping(host_id=10, container_id=70000, length=1))


def asked(**words: object) -> NamespaceOption:
    whole = {"mode": NamespaceMode.POD, "uids": RANGE, "gids": PAIR, **words}
    return NamespaceOption(pid=NamespaceMode.CONTAINER, userns_options=UserNamespace(**whole))  # type: ignore[arg-type]  # the caller's words


def test_the_ids_are_those_asked_for() -> None:
    found = user_namespaces.wanted(asked())
    assert found == IdMappings((IdMapping(0, 65536, 65536),), (IdMapping(0, 65536, 65536), IdMapping(70000, 10, 1)))
    assert (found.uid(0), found.uid(65535), found.gid(70000)) == (65536, 131071, 10)
    assert id_mappings.lines(found.gids) == "0 65536 65536\n70000 10 1\n"


@pytest.mark.parametrize("inside", [-1, 65536])
def test_an_id_that_is_not_mapped_is_nobodys(inside: int) -> None:
    found = user_namespaces.wanted(asked())
    assert found is not None
    with pytest.raises(Invalid, match=f"id {inside} has no mapping"):
        found.uid(inside)


def test_the_hosts_own_is_none_of_the_pods() -> None:
    assert user_namespaces.wanted(NamespaceOption()) is None
    assert user_namespaces.wanted(asked(mode=NamespaceMode.NODE)) is None


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (asked(mode=NamespaceMode.CONTAINER), "unsupported user namespace mode: CONTAINER"),
        (asked(uids=()), "needs mappings"),
        (asked(uids=(IDMapping(container_id=1, host_id=1000, length=9),)), "container ID 0 has no mapping"),
        (asked(uids=(IDMapping(container_id=0, host_id=1000, length=0),)), "empty or overlap"),
        (
            asked(uids=tuple(IDMapping(container_id=0, host_id=host, length=9) for host in (1000, 2000))),
            "overlap in container_id",
        ),
        (
            asked(uids=tuple(IDMapping(container_id=inside, host_id=1000, length=9) for inside in (0, 9))),
            "overlap in host_id",
        ),
        (NamespaceOption(network=NamespaceMode.NODE, userns_options=asked().userns_options), "host's network"),
        (NamespaceOption(pid=NamespaceMode.NODE, userns_options=asked().userns_options), "host's pid"),
        (NamespaceOption(ipc=NamespaceMode.NODE, userns_options=asked().userns_options), "host's ipc"),
    ],
)
def test_what_cannot_be_is_refused(options: NamespaceOption, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        user_namespaces.wanted(options)


async def test_a_yes_is_for_good_and_a_no_for_a_minute() -> None:
    seconds, answers = [5.0], [True, False]
    ability = user_namespaces.Ability(answers.pop, lambda: seconds[0])
    assert not await ability.is_there()
    seconds[0] += 59
    assert not await ability.is_there()
    seconds[0] += 1
    assert await ability.is_there()
    seconds[0] += 1000
    assert await ability.is_there()
    assert answers == []
