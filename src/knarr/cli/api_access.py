"""How a verb that reads reaches the API: by the cluster's own certificate, else as kubectl would, by the kubeconfig.

The first needs the state directory; the second serves whoever has none of it: another user, a cluster elsewhere.
"""

import argparse
import base64
import os
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from knarr.cli import api_reading, kubeconfig, target
from knarr.cli.api_reading import Api
from knarr.cli.printing import Failure

Entry = Mapping[str, Any]


@contextmanager
def connected(arguments: argparse.Namespace, file: Path | None = None) -> Iterator[Api]:
    """The API of the cluster that --name means; without its certificate, of the current context of the kubeconfig
    `file` (the user's). Raises Failure for the first way where the second does not exist either."""
    try:
        settings = target.existing(arguments)
        is_readable = os.access(settings.pki_dir / "admin.key", os.R_OK)
        missing = None if is_readable else Failure("the cluster's administrator certificate may not be read", "", "")
    except Failure as error:
        missing = error
    context = current(kubeconfig.read(file or kubeconfig.path(os.getuid()))) if missing is not None else None
    if context is None:
        with api_reading.connected(target.existing(arguments)) as api:
            yield api
        return
    cluster, user = context
    parts = urlsplit(str(cluster.get("server", "")))
    with api_reading.over(parts.hostname or "", parts.port or 443, _tls(cluster, user), _token(user)) as api:
        yield api


def current(config: Mapping[str, Any]) -> tuple[Entry, Entry] | None:
    """(cluster, user) of the current context; None where there is none."""
    context = _named(config, "context", str(config.get("current-context") or ""))
    if context is None:
        return None
    cluster = _named(config, "cluster", str(context.get("cluster") or ""))
    return None if cluster is None else (cluster, _named(config, "user", str(context.get("user") or "")) or {})


def _named(config: Mapping[str, Any], section: str, name: str) -> Entry | None:
    entries = config.get(f"{section}s") or ()
    return next((entry.get(section) or {} for entry in entries if entry.get("name") == name and name), None)


def _tls(cluster: Entry, user: Entry) -> ssl.SSLContext:
    """Trust and certificate; ssl reads the key from files only, so the data lies in one for a moment."""
    authority = _content(cluster, "certificate-authority")
    context = ssl.create_default_context(cadata=authority.decode() if authority else None)
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    certificate, key = _content(user, "client-certificate"), _content(user, "client-key")
    if certificate and key:
        with tempfile.NamedTemporaryFile() as file:
            file.write(certificate + b"\n" + key)
            file.flush()
            context.load_cert_chain(file.name)
    return context


def _content(entry: Entry, name: str) -> bytes:
    if entry.get(f"{name}-data"):
        return base64.b64decode(entry[f"{name}-data"])
    if not entry.get(name):
        return b""
    try:
        return Path(str(entry[name])).read_bytes()
    except OSError as error:
        raise Failure(f"the kubeconfig's {name} may not be read", str(error), "mend the kubeconfig") from error


def _token(user: Entry) -> str:
    return str(user.get("token") or "")
