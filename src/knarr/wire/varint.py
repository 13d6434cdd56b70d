"""Numbers as protobuf writes them: seven bits a byte, the lowest first, the high bit set while more follow.

Spec: Protocol Buffers encoding, Base 128 Varints. Reading them is each decoder's own: its bounds and errors differ.
"""


def varint(number: int) -> bytes:
    """`number` is not negative; a signed one comes as its 64 bits."""
    written = bytearray()
    while number > 127:
        written.append(number & 127 | 128)
        number >>= 7
    written.append(number)
    return bytes(written)
