"""The subject of a certificate out of its DER, without a cryptography library: the API server starts sooner for it.

For certificates that TLS has verified already; nothing here checks a signature. Spec: RFC 5280, 4.1; X.690.
"""

from collections.abc import Iterator

COMMON_NAME, ORGANIZATION = b"\x55\x04\x03", b"\x55\x04\x0a"
_SEQUENCE, _CONTEXT_0 = 0x30, 0xA0
_BMP_STRING = 0x1E


def subject(der: bytes) -> tuple[str, tuple[str, ...]]:
    """(common name, organisations): user and groups. Raises ValueError for what is no certificate."""
    try:
        return _subject(der)
    except (IndexError, UnicodeDecodeError, StopIteration) as error:
        raise ValueError("the certificate cannot be read") from error


def _subject(der: bytes) -> tuple[str, tuple[str, ...]]:
    (_, certificate) = next(_elements(der))
    (_, to_be_signed) = next(_elements(certificate))
    fields = [content for tag, content in _elements(to_be_signed) if tag != _CONTEXT_0]
    # Without the optional version: serial number, algorithm, issuer, validity, subject.
    names: list[str] = []
    organizations: list[str] = []
    for _, relative_name in _elements(fields[4]):
        for _, attribute in _elements(relative_name):
            (_, kind), (tag, value) = _elements(attribute)
            text = value.decode("utf-16-be" if tag == _BMP_STRING else "utf-8")
            if kind == COMMON_NAME:
                names.append(text)
            elif kind == ORGANIZATION:
                organizations.append(text)
    return names[0] if names else "", tuple(organizations)


def _elements(content: bytes) -> Iterator[tuple[int, bytes]]:
    """The (tag, content) pairs that follow each other."""
    at = 0
    while at < len(content):
        tag, length, at = content[at], content[at + 1], at + 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(content[at : at + size])
            at += size
        if at + length > len(content):
            raise ValueError("the certificate is cut short")
        yield tag, content[at : at + length]
        at += length
