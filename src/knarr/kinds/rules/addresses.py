"""Checks of IP addresses and ranges, as Go parses them. Texts are upstream's."""

import ipaddress
from collections.abc import Iterator
from typing import Final

from knarr.base.errors import Cause
from knarr.objects import faults

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
IP_TEXT: Final = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
CIDR_TEXT: Final = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
_LINK_LOCAL_MULTICAST: Final = (ipaddress.ip_network("224.0.0.0/24"), ipaddress.ip_network("ff02::/16"))


def parsed(text: str) -> Address | None:
    """The address; None if it is none (Go knows no zones here)."""
    if "%" in text:
        return None
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def network(text: str) -> Network | None:
    """The range that `address/bits` names; None if it is none."""
    _, slash, bits = text.partition("/")
    if not slash or not (bits.isascii() and bits.isdigit()):
        return None
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def is_strictly_within(part: Network, whole: Network) -> bool:
    """Is the part inside the whole, and smaller? (Of two families nothing is.)"""
    return part.version == whole.version and part.prefixlen > whole.prefixlen and part.network_address in whole


def address(text: str, field: str) -> Iterator[Cause]:
    if parsed(text) is None:
        yield faults.invalid(field, text, IP_TEXT)


def name(text: str) -> list[str]:
    """The name of an object that is an address: the address as Go writes it."""
    found = parsed(text)
    if found is None:
        return [IP_TEXT]
    return [] if str(found) == text else [f'must be in canonical form ("{found}")']


def of_family(text: str, field: str, version: int) -> Iterator[Cause]:
    found = parsed(text)
    if found is None or found.version != version:
        yield faults.invalid(field, text, f"must be a valid IPv{version} address")


def cidr(text: str, field: str) -> Iterator[Cause]:
    if network(text) is None:
        yield faults.invalid(field, text, CIDR_TEXT)


def reachable(text: str, field: str) -> Iterator[Cause]:
    """An address that another machine could have: none of the special ranges."""
    found = parsed(text)
    if found is None:
        return
    if found.is_unspecified:
        yield faults.invalid(field, text, f"may not be unspecified ({text})")
    elif found.is_loopback:
        yield faults.invalid(field, text, "may not be in the loopback range (127.0.0.0/8, ::1/128)")
    elif found.is_link_local:
        yield faults.invalid(field, text, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    elif any(found in each for each in _LINK_LOCAL_MULTICAST):
        yield faults.invalid(field, text, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")
