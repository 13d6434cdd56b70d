"""Which ids of the host a pod with hostUsers: false has: its own, the same after a restart, free when it is gone."""

import asyncio
from pathlib import Path

import pytest

from knarr.base.errors import Invalid, Unavailable
from knarr.cri.messages.config import IDMapping, UserNamespace
from knarr.cri.messages.enums import NamespaceMode
from knarr.kinds.core_pod import POD
from knarr.kubelet.user_namespaces import UserNamespaces
from tests.unit.kubelet.harness import Node, run

PRIVATE = {
    "hostUsers": False,
    "containers": [{"name": "c", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
    "volumes": [{"name": "v", "emptyDir": {}}],
}


def first(users: UserNamespace) -> int:
    return users.uids[0].host_id


def users(start: int) -> UserNamespace:
    ids = (IDMapping(host_id=start, container_id=0, length=65536),)
    return UserNamespace(mode=NamespaceMode.POD, uids=ids, gids=ids)


def test_ranges_follow_one_another_and_stay_with_their_pods(tmp_path: Path) -> None:
    ranges = UserNamespaces(tmp_path, 3)
    assert [first(ranges.mapping(uid)) for uid in ("a", "b", "c", "a")] == [65536, 131072, 196608, 65536]
    later = UserNamespaces(tmp_path, 3)
    assert first(later.mapping("b")) == 131072
    with pytest.raises(Unavailable, match="empty slot"):
        later.mapping("d")
    (tmp_path / "b" / "userns").unlink()
    (tmp_path / "b").rmdir()
    assert first(later.mapping("d")) == 131072


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"uidMappings":[],"gidMappings":[]}',
        '{"uidMappings":[{"hostId":0,"containerId":0,"length":65536}],"gidMappings":[]}',
        *(
            f'{{"uidMappings":[{one}],"gidMappings":[{one}]}}'
            for one in (
                '{"hostId":0,"containerId":0,"length":65536}',
                '{"hostId":65537,"containerId":0,"length":65536}',
                '{"hostId":65536,"containerId":1,"length":65536}',
                '{"hostId":65536,"containerId":0,"length":4294967295}',
            )
        ),
    ],
)
def test_a_file_that_does_not_say_one_range_gives_nobody_any_ids(tmp_path: Path, text: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "userns").write_text(text)
    for uid in ("a", "b"):
        with pytest.raises(Invalid):
            UserNamespaces(tmp_path, 3).mapping(uid)


@pytest.mark.parametrize("content", [b"", bytes(90)])
def test_a_file_that_lost_its_content_with_the_power_is_nobodys(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "userns").write_bytes(content)
    ranges = UserNamespaces(tmp_path, 3)
    assert [first(ranges.mapping(uid)) for uid in ("b", "a", "b")] == [65536, 131072, 65536]


def test_ids_of_logins_are_not_given_away(tmp_path: Path) -> None:
    logins = tmp_path / "subuid"
    logins.write_text("# of\ndev:100000:65536\nroot:262144:1\nbroken:x:1\n")
    ranges = UserNamespaces(tmp_path / "pods", 3, None, (logins, tmp_path / "absent"))
    # 100000 to 165535 reaches into the first two.
    assert [first(ranges.mapping(uid)) for uid in ("a", "b")] == [196608, 327680]


def test_clusters_of_one_machine_share_no_ids(tmp_path: Path) -> None:
    one, two = (UserNamespaces(tmp_path / name / "kubelet" / "pods", 2, tmp_path) for name in ("one", "two"))
    found = [first(ranges.mapping(uid)) for ranges in (one, two) for uid in ("a", "b")]
    assert found == [65536, 131072, 196608, 262144]
    (tmp_path / "one" / "kubelet" / "pods" / "a" / "userns").write_text("{}")
    (tmp_path / "two" / "kubelet" / "pods" / "b" / "userns").unlink()
    assert first(two.mapping("b")) == 65536  # what a neighbour cannot read is its own worry


def test_clusters_that_choose_the_same_at_once_do_not_both_keep_it(tmp_path: Path) -> None:
    other = tmp_path / "two" / "kubelet" / "pods" / "x"

    class Late(UserNamespaces):
        """The neighbour writes between this one's look and its own writing."""

        def _free(self) -> int:
            found = super()._free()
            if not other.exists():
                assert first(UserNamespaces(other.parent, 2, tmp_path).mapping("x")) == found
            return found

    assert first(Late(tmp_path / "one" / "kubelet" / "pods", 2, tmp_path).mapping("a")) == 131072


def test_a_pod_of_its_own_users_has_them_in_its_sandbox_its_containers_and_their_mounts(tmp_path: Path) -> None:
    async def story(node: Node, group: asyncio.TaskGroup) -> None:
        node.runtime.has_user_namespaces = True
        for name in ("one", "two"):
            await node.create(name, PRIVATE)
            await node.reached(name, "Running")
        await node.stop()
        await node.start(group)
        node.runtime.exit(node.runtime.named("two", "c").status.id, 1)

        async def restarted() -> bool:
            status = await node.status("two")
            return status["containerStatuses"][0]["restartCount"] == 1 and await node.ready("two")

        await node.until(restarted)
        for name, start in (("one", 65536), ("two", 131072)):
            [sandbox] = [c for c in node.runtime.sandbox_configs.values() if c.metadata and c.metadata.name == name]
            container = node.runtime.named(name, "c").config
            assert sandbox.linux is not None
            assert container.linux is not None
            told = (sandbox.linux.security_context, container.linux.security_context)
            options = [c.namespace_options for c in told if c is not None]
            assert [one.userns_options for one in options if one is not None] == [users(start)] * 2
            assert {mount.container_path for mount in container.mounts} >= {"/v", "/etc/hosts"}
            owners = {(mount.uidMappings, mount.gidMappings) for mount in container.mounts}
            assert owners == {(users(start).uids, users(start).gids)}
        await node.client.delete(POD, "default", "one")
        await node.until(lambda: node.is_absent("one"))
        left = (await node.pod("two"))["metadata"]["uid"]
        assert [path.parent.name for path in tmp_path.glob("kubelet/pods/*/userns")] == [left]

    run(tmp_path, story)
