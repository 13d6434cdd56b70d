"""Authentication: who a request comes from.

Asked in upstream's order, the first who knows the caller decides: client certificate (CN is the user, every O a
group), bearer token of the Authorization header, bearer token among a WebSocket's subprotocols (for browsers, which
set no headers). Nobody's request is ANONYMOUS; a token that is wrong makes it unauthenticated.
"""

import base64
import hashlib
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from knarr.apiserver.context import CREDENTIAL_ID, User
from knarr.base.errors import Unauthenticated
from knarr.wire import certificate as x509
from knarr.wire import http

AUTHENTICATED, UNAUTHENTICATED = "system:authenticated", "system:unauthenticated"
ANONYMOUS = User("system:anonymous", (UNAUTHENTICATED,))
SUBPROTOCOLS: Final = "sec-websocket-protocol"
SUBPROTOCOL: Final = "base64url.bearer.authorization.k8s.io."
_NOT_URL: Final = frozenset("+/=")
"""Of Base64's digits those that its form for URLs, without padding, does not have."""
TokenCheck = Callable[[str], User | None]


class Authenticator:
    """`token` turns a bearer token into its user; None refuses every token."""

    def __init__(self, token: TokenCheck | None = None) -> None:
        self._token = token

    def user(self, request: http.Request) -> User:
        """The caller; ANONYMOUS when the request brings nothing. Raises Unauthenticated for bad credentials.

        A token among the subprotocols is taken out of the request: who answers it later must not see or log it."""
        offered = _taken_out(request) if request.header(SUBPROTOCOLS) else []
        if request.peer.certificate is not None:
            user = certificate_user(request.peer.certificate)
            if user is not None:
                return user
        token = bearer(request.header("authorization"))
        if not token and not offered:
            return ANONYMOUS
        found = self.token_user(token) if token else None
        if found is None and offered:
            found = self.token_user(_decoded(offered, request))
        if found is None:
            raise Unauthenticated("Unauthorized")
        return found

    def token_user(self, token: str) -> User | None:
        """Whom a bearer token speaks for; None when nobody."""
        return self._token(token) if self._token is not None else None


def bearer(authorization: str) -> str:
    """The token of an Authorization header; "" where it has none, as of another scheme. Pure."""
    scheme, _, rest = authorization.strip().partition(" ")
    return rest.partition(" ")[0] if scheme.lower() == "bearer" else ""


@lru_cache(256)
def certificate_user(certificate: bytes) -> User | None:
    """The user that a verified certificate (DER) names; None when it names nobody."""
    name, groups = x509.subject(certificate)
    if not name:
        return None
    digest = hashlib.sha256(certificate).hexdigest()
    return User(name, (*groups, AUTHENTICATED), extra={CREDENTIAL_ID: (f"X509SHA256={digest}",)})


def _taken_out(request: http.Request) -> list[str]:
    """The subprotocols that carry a token, which the request then no longer has."""
    if "websocket" not in request.header("upgrade").lower():
        return []
    offered = [part.strip() for value in request.header_all(SUBPROTOCOLS) for part in value.split(",")]
    tokens = [part for part in offered if part.startswith(SUBPROTOCOL)]
    if tokens:
        others = tuple((name, value) for name, value in request.headers if name != SUBPROTOCOLS)
        left = ", ".join(part for part in offered if part and part not in tokens)
        request.headers = (*others, (SUBPROTOCOLS, left)) if left else others
    return [] if tokens == [SUBPROTOCOL] else tokens  # an empty token is none, as upstream


def _decoded(offered: list[str], request: http.Request) -> str:
    # One token, and besides it a protocol to speak: the answer must name one, and must not name the token.
    if len(offered) > 1 or not request.header(SUBPROTOCOLS):
        raise Unauthenticated("Unauthorized")
    encoded = offered[0].removeprefix(SUBPROTOCOL)
    if set(encoded) & _NOT_URL:
        raise Unauthenticated("Unauthorized")
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True).decode()
    except ValueError as error:
        raise Unauthenticated("Unauthorized") from error
