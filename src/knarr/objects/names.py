"""Names: the shapes of names, labels and annotation keys, with upstream's words for what is wrong. Pure.

Each function returns the faults of one value ([] = fine). Spec: RFC 1123, RFC 1035, "Object Names and IDs".
"""

import functools
import re
from typing import Final

_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_LABEL_1035: Final = "[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED: Final = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE: Final = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"
_label = re.compile(_LABEL)
_label_1035 = re.compile(_LABEL_1035)
_subdomain = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_wildcard = re.compile(rf"\*\.{_LABEL}(\.{_LABEL})*")
_qualified = re.compile(_QUALIFIED)
_value = re.compile(_VALUE)
_identifier = re.compile("[A-Za-z_][A-Za-z0-9_]*")
_uuid = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_url_path = re.compile(r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+")
_port_letters = re.compile("[a-z0-9-]+")
_env = re.compile("[-._a-zA-Z][-._a-zA-Z0-9]*")
_config_key = re.compile("[-._a-zA-Z0-9]+")

LABEL_MAX: Final = 63
SUBDOMAIN_MAX: Final = 253


def _regex_text(message: str, pattern: str, *examples: str) -> str:
    quoted = " or ".join(f"'{example}'" for example in examples)
    listed = f"e.g. {quoted}" if examples else ""
    return f"{message} ({listed}, regex used for validation is '{pattern}')"


def _too_long(most: int) -> str:
    return f"must be no more than {most} characters"


LABEL_TEXT: Final = _regex_text(
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character", _LABEL, "my-name", "123-abc",
)  # fmt: skip
LABEL_1035_TEXT: Final = _regex_text(
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character", _LABEL_1035, "my-name", "abc-123",
)  # fmt: skip
SUBDOMAIN_TEXT: Final = _regex_text(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character", rf"{_LABEL}(\.{_LABEL})*", "example.com",
)  # fmt: skip
WILDCARD_TEXT: Final = _regex_text(
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of "
    "lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
    rf"\*\.{_LABEL}(\.{_LABEL})*", "*.example.com",
)  # fmt: skip
QUALIFIED_TEXT: Final = _regex_text(
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character", _QUALIFIED, "MyName", "my.name", "123-abc",
)  # fmt: skip
VALUE_TEXT: Final = _regex_text(
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character", _VALUE, "MyValue", "my_value", "12345",
)  # fmt: skip
CONFIG_KEY_TEXT: Final = _regex_text(
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
    "[-._a-zA-Z0-9]+", "key.name", "KEY_NAME", "key-name",
)  # fmt: skip


def dns_label(name: str) -> list[str]:
    faults = [_too_long(LABEL_MAX)] if len(name) > LABEL_MAX else []
    return faults if _label.fullmatch(name) else [*faults, LABEL_TEXT]


def dns_1035_label(name: str) -> list[str]:
    faults = [_too_long(LABEL_MAX)] if len(name) > LABEL_MAX else []
    return faults if _label_1035.fullmatch(name) else [*faults, LABEL_1035_TEXT]


def dns_subdomain(name: str) -> list[str]:
    faults = [_too_long(SUBDOMAIN_MAX)] if len(name) > SUBDOMAIN_MAX else []
    return faults if _subdomain.fullmatch(name) else [*faults, SUBDOMAIN_TEXT]


def begun(prefix: str) -> str:
    """The name that a prefix is judged by: what ends in a hyphen has an "a" in the place of its last two characters."""
    return f"{prefix[:-2]}a" if len(prefix) > 1 and prefix.endswith("-") else prefix


def wildcard_subdomain(name: str) -> list[str]:
    """`*.` and a DNS subdomain."""
    faults = [_too_long(SUBDOMAIN_MAX)] if len(name) > SUBDOMAIN_MAX else []
    return faults if _wildcard.fullmatch(name) else [*faults, WILDCARD_TEXT]


def full_domain_name(name: str) -> list[str]:
    """A domain of two labels or more; a final dot is allowed."""
    plain = name.removesuffix(".")
    faults = dns_subdomain(plain)
    if faults:
        return [",".join(faults)]
    if "." not in plain:
        return ["should be a domain with at least two segments separated by dots"]
    return [fault for label in plain.split(".") for fault in dns_label(label)][:1]


def path_segment(name: str) -> list[str]:
    """Names that only have to fit one segment of a URL, as RBAC's."""
    if name in (".", ".."):
        return [f"may not be '{name}'"]
    return [f"may not contain '{character}'" for character in "/%" if character in name]


def qualified(name: str) -> list[str]:
    """A label or annotation key: `[prefix/]name`."""
    prefix, slash, rest = name.rpartition("/")
    if "/" in prefix:
        return [
            _regex_text(
                "a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and end "
                "with an alphanumeric character", _QUALIFIED, "MyName", "my.name", "123-abc",
            ) + " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        ]  # fmt: skip
    faults: list[str] = []
    if slash:
        faults += (
            ["prefix part must be non-empty"] if not prefix else [f"prefix part {t}" for t in dns_subdomain(prefix)]
        )
    if not rest:
        return [*faults, "name part must be non-empty", QUALIFIED_TEXT]
    if len(rest) > LABEL_MAX:
        faults.append(f"name part {_too_long(LABEL_MAX)}")
    return faults if _qualified.fullmatch(rest) else [*faults, QUALIFIED_TEXT]


def prefixed(name: str) -> list[str]:
    """A label key whose prefix is required."""
    return qualified(name) if "/" in name else [*qualified(name), "prefix part must be non-empty"]


def fully_qualified(name: str) -> list[str]:
    """A device attribute's name: a domain and a C identifier."""
    domain, slash, rest = name.rpartition("/")
    if not slash or "/" in domain:
        return ["a fully qualified name must be a domain and a name separated by a slash"]
    if len(rest) > 32:
        return [*dns_subdomain(domain), "must be no more than 32 characters"]
    return [*dns_subdomain(domain), *c_identifier(rest)]


def c_identifier(name: str) -> list[str]:
    if _identifier.fullmatch(name):
        return []
    text = "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric "
    return [_regex_text(f"{text}characters or '_'", "[A-Za-z_][A-Za-z0-9_]*", "my_name", "MY_NAME", "MyName")]


def extended_resource(name: str) -> list[str]:
    """The name of a resource that a vendor counts: `example.com/gpu`."""
    is_native = "/" not in name or "kubernetes.io/" in name
    if is_native or name.startswith("requests."):
        return ["doesn't follow extended resource name standard"]
    return qualified(f"requests.{name}")


def pool_name(name: str) -> list[str]:
    """A pool of devices: DNS subdomains separated by slashes."""
    faults = [_too_long(SUBDOMAIN_MAX)] if len(name) > SUBDOMAIN_MAX else []
    return faults + [fault for part in name.split("/") for fault in dns_subdomain(part)]


def uuid(text: str) -> list[str]:
    if _uuid.fullmatch(text):
        return []
    return ["must be a lowercase UUID in 8-4-4-4-12 format"]


def domain_prefixed_path(text: str) -> list[str]:
    """`example.com/any/path`: a controller's, a signer's name."""
    domain, slash, path = text.partition("/")
    if not slash or not domain or not path:
        return ['must be a domain-prefixed path (such as "acme.io/foo")']
    faults = dns_subdomain(domain)
    if not _url_path.fullmatch(path):
        faults.append(_regex_text("Invalid path", "[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+"))
    return faults


def label_value(value: str) -> list[str]:
    faults = [_too_long(LABEL_MAX)] if len(value) > LABEL_MAX else []
    return faults if _value.fullmatch(value) else [*faults, VALUE_TEXT]


def port_name(name: str) -> list[str]:
    """A port's name (IANA service name)."""
    faults = ["must be no more than 15 characters"] if len(name) > 15 else []
    if not _port_letters.fullmatch(name):
        faults.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not any("a" <= c <= "z" for c in name):
        faults.append("must contain at least one letter (a-z)")
    if "--" in name:
        faults.append("must not contain consecutive hyphens")
    if name[:1] == "-" or name[-1:] == "-":
        faults.append("must not begin or end with a hyphen")
    return faults


def env_name(name: str) -> list[str]:
    """The name of an environment variable: any printable ASCII but `=` (relaxed since 1.34)."""
    if not all(" " <= c <= "~" and c != "=" for c in name):
        return ["a valid environment variable name must consist only of printable ASCII characters other than '='"]
    return []


def config_key(key: str) -> list[str]:
    """A key of a ConfigMap or Secret."""
    if len(key) <= SUBDOMAIN_MAX and _is_plain_key(key):
        return []
    faults = [_too_long(SUBDOMAIN_MAX)] if len(key) > SUBDOMAIN_MAX else []
    if _config_key.fullmatch(key) is None:
        faults.append(CONFIG_KEY_TEXT)
    if key == ".":
        faults.append("must not be '.'")
    elif key == "..":
        faults.append("must not be '..'")
    elif key.startswith(".."):
        faults.append("must not start with '..'")
    return faults


@functools.lru_cache(1024)
def _is_plain_key(key: str) -> bool:
    """Kept, for each write judges all keys of its object, and most are the same few."""
    return _config_key.fullmatch(key) is not None and key[0] != "."
