"""Rows: CertificateSigningRequest, and the review that asks what its requester may do. Read as JSON: no lenses."""

from knarr.kinds import registry

CERTIFICATESIGNINGREQUEST = registry.row("certificates.k8s.io", "v1", "CertificateSigningRequest")
SUBJECTACCESSREVIEW = registry.row("authorization.k8s.io", "v1", "SubjectAccessReview")
