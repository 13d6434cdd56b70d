"""Boolean parameters of a query, as the API server and the kubelet read them. Pure.

Upstream decodes them loosely (Convert_Slice_string_To_bool): `?follow` asks for it, and so does `?follow=yes`.
"""

from typing import Final

FALSE: Final = frozenset(("0", "false"))
"""What says no, in any case of letters; every other value that is there, even none, is a yes."""


def is_true(value: str | None) -> bool:
    """Whether the parameter of this value is set; None is one that is absent."""
    return value is not None and value.lower() not in FALSE
