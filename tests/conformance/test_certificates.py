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
  usages: [client auth]
"""


NODE_REQUEST = """
apiVersion: certificates.k8s.io/v1
kind: CertificateSigningRequest
metadata: {{name: node}}
spec:
  request: {request}
  signerName: kubernetes.io/kube-apiserver-client-kubelet
  usages: [digital signature, client auth]
"""


def made(folder: Path, common_name: str = "jane", organization: str = "developers") -> str:
    """A key in `folder`, and a request for it in base64."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "jane.key").write_bytes(pem)
    names = [
        x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, organization),
        x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name),
    ]
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names)).sign(key, hashes.SHA256())
    return base64.b64encode(request.public_bytes(serialization.Encoding.PEM)).decode()


async def issued(kubectl: Kubectl, name: str) -> str:
    """The certificate (base64 of PEM), once the controller has written it; each look is a new process."""
    for _ in range(50):
        certificate = await kubectl("get", "csr", name, "-o", "jsonpath={.status.certificate}")
        if certificate:
            return certificate
    raise AssertionError(await kubectl("get", "csr", name, "-o", "yaml"))


async def test_a_node_gets_its_own_certificate_renewed_without_anybody(kubectl: Kubectl, tmp_path: Path) -> None:
    wanted = NODE_REQUEST.format(request=made(tmp_path, "system:node:n", "system:nodes"))
    as_node = ("--as=system:node:n", "--as-group=system:nodes", "--as-group=system:authenticated")
    await kubectl("create", "-f", "-", *as_node, stdin=wanted)

    found = x509.load_pem_x509_certificate(base64.b64decode(await issued(kubectl, "node")))

    assert found.subject.rfc4514_string() == "CN=system:node:n,O=system:nodes"
    assert "Approved,Issued" in await kubectl("get", "csr", "node")


async def test_nobody_else_gets_a_nodes_certificate(kubectl: Kubectl, tmp_path: Path) -> None:
    wanted = NODE_REQUEST.format(request=made(tmp_path, "system:node:n", "system:nodes"))
    await kubectl("create", "clusterrolebinding", "b", "--clusterrole=system:node-bootstrapper", "--user=jane")
    await kubectl("create", "-f", "-", "--as=jane", stdin=wanted)
    await kubectl("apply", "-f", "-", stdin=REQUEST.format(request=made(tmp_path)))
    await kubectl("certificate", "approve", "jane")
    await issued(kubectl, "jane")  # the controller has been at both by now: it takes them in order

    assert "Pending" in await kubectl("get", "csr", "node")


async def test_an_approved_request_becomes_a_certificate_that_works(kubectl: Kubectl, tmp_path: Path) -> None:
    await kubectl("apply", "-f", "-", stdin=REQUEST.format(request=made(tmp_path)))
    assert "Pending" in await kubectl("get", "csr", "jane")
    await kubectl("certificate", "approve", "jane")
    await kubectl("wait", "--for=jsonpath={.status.conditions[0].type}=Approved", "csr/jane", "--timeout=10s")
    certificate = await issued(kubectl, "jane")
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
