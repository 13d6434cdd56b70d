"""Content negotiation: which form of answer the Accept header asks for.

JSON, YAML, Table and PartialObjectMetadata(List); everything else is 406. Discovery negotiates its own forms.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from knarr.apiserver.status import Refusal

Form = Literal["json", "yaml", "table", "partial", "partial-list"]
_AS: dict[str, Form] = {
    "Table": "table",
    "PartialObjectMetadata": "partial",
    "PartialObjectMetadataList": "partial-list",
}


@dataclass(frozen=True, slots=True)
class Accepted:
    """The chosen form; `version` is meta.k8s.io's for Table and partial forms."""

    form: Form
    version: str = "v1"


# The forms besides the plain one that this server can make.
OFFERED = frozenset(("PartialObjectMetadata", "PartialObjectMetadataList", "Table"))
UNTABLED = OFFERED - {"Table"}
"""Those of what has no columns, such as a review."""
JSON = Accepted("json")


@lru_cache(256)
def accepted(header: str, offered: frozenset[str] = OFFERED) -> Accepted:
    """The first acceptable form; raises a 406 Refusal when there is none."""
    if not header:
        return JSON
    for clause in header.split(","):
        media_type, *parameters = (part.strip() for part in clause.split(";"))
        given = dict(part.split("=", 1) for part in parameters if "=" in part)
        if media_type in ("application/json", "*/*", "application/*"):
            wanted = given.get("as")
            if wanted is None:
                return JSON
            if (
                wanted in _AS
                and wanted in offered
                and given.get("g") == "meta.k8s.io"
                and given.get("v") in ("v1", "v1beta1")
            ):
                return Accepted(_AS[wanted], given["v"])
        elif media_type == "application/yaml" and "as" not in given:
            return Accepted("yaml")
    raise Refusal(
        406,
        "NotAcceptable",
        "only the following media types are accepted: application/json, application/yaml",
    )
