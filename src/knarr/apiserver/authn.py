"""Authentication: who a request comes from.

Client certificate (CN is the user, every O a group), bearer token of a ServiceAccount (tokens.py), else nobody.
"""

import hashlib
from collections.abc import Callable
from functools import lru_cache

from knarr.apiserver.context import User
from knarr.base.errors import Unauthenticated
from knarr.wire import certificate as x509
from knarr.wire import http

AUTHENTICATED, UNAUTHENTICATED = "system:authenticated", "system:unauthenticated"
CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"
ANONYMOUS = User("system:anonymous", (UNAUTHENTICATED,))
TokenCheck = Callable[[str], User | None]


class Authenticator:
    """`token` turns a bearer token into its user; None refuses every token."""

    def __init__(self, token: TokenCheck | None = None) -> None:
        self._token = token

    def user(self, request: http.Request) -> User:
        """The caller; ANONYMOUS when the request brings nothing. Raises Unauthenticated for bad credentials."""
        authorization = request.header("authorization")
        if authorization:
            scheme, _, token = authorization.partition(" ")
            if scheme.lower() != "bearer" or not token.strip():
                raise Unauthenticated("Unauthorized")
            user = self.token_user(token.strip())
            if user is None:
                raise Unauthenticated("Unauthorized")
            return user
        if request.peer.certificate is not None:
            return certificate_user(request.peer.certificate)
        return ANONYMOUS

    def token_user(self, token: str) -> User | None:
        """Whom a bearer token speaks for; None when nobody."""
        return self._token(token) if self._token is not None else None


@lru_cache(256)
def certificate_user(certificate: bytes) -> User:
    """The user that a verified certificate (DER) names."""
    name, groups = x509.subject(certificate)
    if not name:
        raise Unauthenticated("Unauthorized")
    digest = hashlib.sha256(certificate).hexdigest()
    return User(name, (*groups, AUTHENTICATED), extra={CREDENTIAL_ID: (f"X509SHA256={digest}",)})
