"""kubectl get cs: the parts of the control plane, as /readyz finds them."""

from tests.unit.apiserver.conftest import Asker

PATH = "/api/v1/componentstatuses"


async def test_each_component_says_how_it_is(ask: Asker) -> None:
    ask.server.ready_checks |= {"controllers": lambda: "controllers are starting", "etcd": lambda: None}
    listed = await ask("GET", PATH)
    assert listed["kind"] == "ComponentStatusList"
    assert {each["metadata"]["name"]: each["conditions"] for each in listed["items"]} == {
        name: [{"type": "Healthy", "status": "False", "message": "", "error": "controllers are starting"}]
        for name in ("controller-manager", "scheduler")
    } | {"etcd-0": [{"type": "Healthy", "status": "True", "message": "ok"}]}


async def test_one_is_read_by_its_name_and_shown_in_columns(ask: Asker) -> None:
    ask.server.ready_checks["etcd"] = lambda: None
    one = await ask("GET", f"{PATH}/etcd-0")
    assert (one["kind"], one["metadata"]["name"]) == ("ComponentStatus", "etcd-0")
    table = await ask("GET", PATH, accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    names = [column["name"] for column in table["columnDefinitions"]]
    assert dict(zip(names, table["rows"][0]["cells"], strict=True)) == {
        "Name": "etcd-0", "Status": "Healthy", "Message": "ok", "Error": "",
    }  # fmt: skip
    refused = await ask("GET", f"{PATH}/none")
    assert (refused["code"], refused["message"]) == (404, 'componentstatuses "none" not found')
