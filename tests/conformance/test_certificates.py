"""A user's certificate by a stock kubectl: request, approve, use. And a kubelet that renews its own."""

import base64
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.conformance.conftest import Kubectl

REQUEST = """
apiVersion: certificates.k8s.io/v1
kind: CertificateSigningRequest
metadata: {{name: jane}}
spec:
  request: {request}
  signerName: kubernetes.io/kube-apiserver-client
  expirationSeconds: 7200
  usages: [digital signature, client auth]
"""


def made(folder: Path) -> str:
    """A key in `folder`, and a request for it in base64."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "jane.key").write_bytes(pem)
    names = [
        x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "developers"),
        x509.NameAttribute(x509.NameOID.COMMON_NAME, "jane"),
    ]
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names)).sign(key, hashes.SHA256())
    return base64.b64encode(request.public_bytes(serialization.Encoding.PEM)).decode()


async def test_an_approved_request_becomes_a_certificate_that_works(kubectl: Kubectl, tmp_path: Path) -> None:
    await kubectl("apply", "-f", "-", stdin=REQUEST.format(request=made(tmp_path)))
    assert "Pending" in await kubectl("get", "csr", "jane")
    await kubectl("certificate", "approve", "jane")
    await kubectl("wait", "--for=jsonpath={.status.conditions[0].type}=Approved", "csr/jane", "--timeout=10s")
    certificate = ""
    for _ in range(50):  # the controller's write follows the approval; each look is a new process
        certificate = await kubectl("get", "csr", "jane", "-o", "jsonpath={.status.certificate}")
        if certificate:
            break
    (tmp_path / "jane.crt").write_bytes(base64.b64decode(certificate))
    await kubectl("create", "clusterrolebinding", "jane", "--clusterrole=view", "--group=developers")
    await kubectl(
        "config", "set-credentials", "jane",
        f"--client-certificate={tmp_path / 'jane.crt'}", f"--client-key={tmp_path / 'jane.key'}",
    )  # fmt: skip

    assert "Approved,Issued" in await kubectl("get", "csr", "jane")
    assert "default" in await kubectl("--user=jane", "get", "namespaces")
    refused = await kubectl("--user=jane", "create", "namespace", "n", fails=True)
    assert 'User "jane" cannot create resource "namespaces"' in refused
