"""What is written by hand agrees with the facts tables: lenses with types.json, CRI messages with cri.json."""

import importlib
import inspect
from importlib import resources
from typing import Any

import msgspec
import pytest

from knarr.kinds import registry

LENS_MODULES = sorted(
    entry.name.removesuffix(".py")
    for entry in resources.files("knarr.kinds.lens").iterdir()
    if entry.name.endswith(".py") and entry.name != "__init__.py"
)
CRI_MODULES = ("config", "container", "image", "runtime", "sandbox", "stats")
CRI: Any = msgspec.json.decode(resources.files("knarr.cri").joinpath("facts/cri.json").read_bytes())
PREFIXES = ("io.k8s.api.", "io.k8s.apimachinery.pkg.apis.meta.v1.")


def structs(module_name: str) -> list[type[msgspec.Struct]]:
    module = importlib.import_module(module_name)
    found = [value for _, value in inspect.getmembers(module, inspect.isclass) if issubclass(value, msgspec.Struct)]
    return [each for each in found if each.__module__ == module_name]


@pytest.mark.parametrize("module", LENS_MODULES)
def test_a_lens_has_only_fields_of_its_type(module: str) -> None:
    types = registry.facts("types")["types"]
    for lens in structs(f"knarr.kinds.lens.{module}"):
        candidates = [
            types[name] for name in types if name.rsplit(".", 1)[1] == lens.__name__ and name.startswith(PREFIXES)
        ]
        assert candidates, f"{lens.__name__} is no type of the API"
        encoded = {field.encode_name for field in msgspec.structs.fields(lens)}
        missing = [encoded - set(candidate["fields"]) for candidate in candidates]
        assert set() in missing, f"{lens.__name__}: {min(missing, key=len)} are no fields of it"


@pytest.mark.parametrize("module", CRI_MODULES)
def test_a_cri_message_has_the_fields_of_the_specification(module: str) -> None:
    for message in structs(f"knarr.cri.messages.{module}"):
        facts = CRI["messages"][message.__name__]["fields"]
        wanted = {name for name, field in facts.items() if not str(field["type"]).startswith("Windows")}
        have = {field.name for field in msgspec.structs.fields(message)}
        assert have == wanted - {name for name in wanted if str(facts[name].get("of", "")).startswith("Windows")}
