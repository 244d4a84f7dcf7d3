"""The hosts that the tests of TLS have certificates for, and the names in them."""

from cryptography import x509

HOSTS = ("capulet.example", "montague.example", "bücher.example")


def names(tls):
    """The DNS names of the certificate that the peer sent."""
    extension = tls.peer_certificate.extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    return extension.value.get_values_for_type(x509.DNSName)
