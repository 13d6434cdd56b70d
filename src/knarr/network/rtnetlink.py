"""The kernel's links, addresses and routes by raw netlink (rtnetlink(7)): the few calls that a pod network needs.

A `Netlink` socket belongs to the network namespace in which it was opened, whoever uses it later. Every call is one
request and its acknowledgement, tens of microseconds, so none is awaited. Errors are OSError with the kernel's number.
"""

import os
import socket
import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface
from typing import Final, Self

_RTM_NEWLINK: Final = 16
_RTM_DELLINK: Final = 17
_RTM_GETLINK: Final = 18
_RTM_SETLINK: Final = 19
_RTM_NEWADDR: Final = 20
_RTM_NEWROUTE: Final = 24
_NLMSG_ERROR: Final = 2
_NLMSG_DONE: Final = 3

_REQUEST: Final = 1
_ACK: Final = 4
_EXCLUSIVE: Final = 0x200
_REPLACE: Final = 0x100
_CREATE: Final = 0x400
_DUMP: Final = 0x300
_NESTED: Final = 0x8000

_IFF_UP: Final = 1
_IFLA_ADDRESS: Final = 1
_IFLA_IFNAME: Final = 3
_IFLA_MTU: Final = 4
_IFLA_MASTER: Final = 10
_IFLA_PROTINFO: Final = 12
_IFLA_LINKINFO: Final = 18
_IFLA_NET_NS_FD: Final = 28
_IFLA_INFO_KIND: Final = 1
_IFLA_INFO_DATA: Final = 2
_VETH_INFO_PEER: Final = 1
_IFLA_BRPORT_ISOLATED: Final = 33
_IFA_ADDRESS: Final = 1
_IFA_LOCAL: Final = 2
_IFA_BROADCAST: Final = 4
_RTA_DST: Final = 1
_RTA_OIF: Final = 4
_RTA_GATEWAY: Final = 5

_TABLE_MAIN: Final = 254
_PROTOCOL_STATIC: Final = 4
_SCOPE_UNIVERSE: Final = 0
_SCOPE_LINK: Final = 253
_UNICAST: Final = 1
_ENODEV: Final = 19

_HEADER: Final = struct.Struct("=IHHII")
_LINK: Final = struct.Struct("=BxHiII")
_ADDRESS: Final = struct.Struct("=BBBBI")
_ROUTE: Final = struct.Struct("=BBBBBBBBI")
_RECEIVE: Final = 1 << 16


class Netlink:
    """A socket in the network namespace of the thread that opens it."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._socket.bind((0, 0))
        self._socket.settimeout(5.0)
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def index(self, name: str) -> int | None:
        """The link's index; None if there is none of that name."""
        body = _LINK.pack(0, 0, 0, 0, 0) + _text(_IFLA_IFNAME, name)
        try:
            answers = self._call(_RTM_GETLINK, 0, body)
        except OSError as error:
            if error.errno == _ENODEV:
                return None
            raise
        return int(_LINK.unpack_from(answers[0])[2])

    def master(self, name: str) -> int | None:
        """The index of the bridge that the link is a port of; None for no bridge or no link."""
        body = _LINK.pack(0, 0, 0, 0, 0) + _text(_IFLA_IFNAME, name)
        try:
            answer = self._call(_RTM_GETLINK, 0, body)[0]
        except OSError as error:
            if error.errno == _ENODEV:
                return None
            raise
        found = dict(_attributes(answer[_LINK.size :])).get(_IFLA_MASTER)
        return int(struct.unpack("=I", found)[0]) if found is not None else None

    def links(self) -> dict[str, int]:
        """Every link's name and index."""
        found = {}
        for body in self._call(_RTM_GETLINK, _DUMP, _LINK.pack(0, 0, 0, 0, 0)):
            for kind, value in _attributes(body[_LINK.size :]):
                if kind == _IFLA_IFNAME:
                    found[value.rstrip(b"\0").decode()] = int(_LINK.unpack_from(body)[2])
        return found

    def add_bridge(self, name: str, hardware: bytes) -> None:
        kind = _attribute(_IFLA_LINKINFO | _NESTED, _text(_IFLA_INFO_KIND, "bridge"))
        body = _LINK.pack(0, 0, 0, _IFF_UP, _IFF_UP) + _text(_IFLA_IFNAME, name)
        self._call(_RTM_NEWLINK, _CREATE | _EXCLUSIVE, body + _attribute(_IFLA_ADDRESS, hardware) + kind)

    def add_veth(self, name: str, bridge: int, *, peer: str, hardware: bytes, namespace: int, mtu: int) -> None:
        """A pair: `name` on the bridge and up, `peer` inside the namespace behind that descriptor and still down.

        (The kernel refuses to bring one side up before it knows the other.)
        """
        inside = _LINK.pack(0, 0, 0, 0, 0) + _text(_IFLA_IFNAME, peer) + _number(_IFLA_MTU, mtu)
        inside += _attribute(_IFLA_ADDRESS, hardware) + _number(_IFLA_NET_NS_FD, namespace)
        pair = _attribute(_IFLA_INFO_DATA | _NESTED, _attribute(_VETH_INFO_PEER | _NESTED, inside))
        kind = _attribute(_IFLA_LINKINFO | _NESTED, _text(_IFLA_INFO_KIND, "veth") + pair)
        body = _LINK.pack(0, 0, 0, _IFF_UP, _IFF_UP) + _text(_IFLA_IFNAME, name) + _number(_IFLA_MTU, mtu)
        self._call(_RTM_NEWLINK, _CREATE | _EXCLUSIVE, body + _number(_IFLA_MASTER, bridge) + kind)

    def isolate(self, index: int) -> None:
        """Let the bridge pass the port's frames to the host alone, never to another pod's port."""
        mode = _attribute(_IFLA_PROTINFO | _NESTED, _attribute(_IFLA_BRPORT_ISOLATED, b"\1"))
        self._call(_RTM_SETLINK, 0, _LINK.pack(socket.AF_BRIDGE, 0, index, 0, 0) + mode)

    def set_up(self, index: int) -> None:
        self._call(_RTM_NEWLINK, 0, _LINK.pack(0, 0, index, _IFF_UP, _IFF_UP))

    def delete(self, name: str) -> None:
        """Delete the link (of a pair: both); deleting the absent succeeds."""
        try:
            self._call(_RTM_DELLINK, 0, _LINK.pack(0, 0, 0, 0, 0) + _text(_IFLA_IFNAME, name))
        except OSError as error:
            if error.errno != _ENODEV:
                raise

    def add_address(self, index: int, address: IPv4Interface) -> None:
        """Give the link the address; one that it has already is no error."""
        packed = address.ip.packed
        body = _ADDRESS.pack(socket.AF_INET, address.network.prefixlen, 0, 0, index)
        body += _attribute(_IFA_LOCAL, packed) + _attribute(_IFA_ADDRESS, packed)
        body += _attribute(_IFA_BROADCAST, address.network.broadcast_address.packed)
        self._call(_RTM_NEWADDR, _CREATE | _REPLACE, body)

    def add_default_route(self, index: int, gateway: IPv4Address) -> None:
        """Everything goes by the gateway, which is reached on this link without being in a network of it."""
        link = _ROUTE.pack(socket.AF_INET, 32, 0, 0, _TABLE_MAIN, _PROTOCOL_STATIC, _SCOPE_LINK, _UNICAST, 0)
        link += _attribute(_RTA_DST, gateway.packed) + _number(_RTA_OIF, index)
        self._call(_RTM_NEWROUTE, _CREATE | _REPLACE, link)
        body = _ROUTE.pack(socket.AF_INET, 0, 0, 0, _TABLE_MAIN, _PROTOCOL_STATIC, _SCOPE_UNIVERSE, _UNICAST, 0)
        body += _attribute(_RTA_GATEWAY, gateway.packed) + _number(_RTA_OIF, index)
        self._call(_RTM_NEWROUTE, _CREATE | _REPLACE, body)

    def _call(self, kind: int, flags: int, body: bytes) -> list[bytes]:
        """Send a request; the bodies of its answers, once it is acknowledged. OSError if the kernel refuses."""
        self._sequence += 1
        is_dump = flags & _DUMP == _DUMP
        wanted = _REQUEST | flags | (0 if is_dump else _ACK)
        self._socket.send(_HEADER.pack(_HEADER.size + len(body), kind, wanted, self._sequence, 0) + body)
        answers: list[bytes] = []
        while True:
            for answer, content in _messages(self._socket.recv(_RECEIVE), self._sequence):
                if answer == _NLMSG_DONE:
                    return answers
                if answer == _NLMSG_ERROR:
                    number = -int(struct.unpack_from("=i", content)[0])
                    if number:
                        raise OSError(number, f"netlink: {os.strerror(number)}")
                    return answers
                answers.append(content)


def _messages(received: bytes, sequence: int) -> Iterator[tuple[int, bytes]]:
    while len(received) >= _HEADER.size:
        length, kind, _, number, _ = _HEADER.unpack_from(received)
        if length < _HEADER.size:
            return
        if number == sequence:
            yield kind, received[_HEADER.size : length]
        received = received[(length + 3) & ~3 :]


def _attributes(body: bytes) -> Iterator[tuple[int, bytes]]:
    while len(body) >= 4:
        length, kind = struct.unpack_from("=HH", body)
        if length < 4:
            return
        yield kind & 0x3FFF, body[4:length]
        body = body[(length + 3) & ~3 :]


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def _text(kind: int, value: str) -> bytes:
    return _attribute(kind, value.encode() + b"\0")


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack("=I", value))
