"""SCRAM-...-PLUS: logins bound to the TLS channel, with scramp, our own client, and OpenSSL's.

What the server exports is compared by the login itself: a client whose value differs
is refused. `openssl s_client` works its value out without any of our libraries.
"""

import pytest
from OpenSSL import SSL
from scramp import ScramClient
from witnesses.cast import PASSWORD
from witnesses.node import CAPULET
from witnesses.own_client import LoginRefused
from witnesses.scram import HASHES, OwnScram


def binding(client, type):
    return type, client.pipe.bindings()[type]


def test_the_strongest_mechanisms_come_first(connect):
    assert connect().mechanisms == [
        *("SCRAM-SHA-512-PLUS", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS"),
        *("SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"),
    ]


@pytest.mark.parametrize("mechanism", HASHES)
@pytest.mark.parametrize("direct_tls", [False, True], ids=["starttls", "direct"])
def test_the_exporter_of_tls_1_3_binds_a_login(connect, name, mechanism, direct_tls):
    client = connect(direct_tls=direct_tls)
    scram = OwnScram(f"{mechanism}-PLUS", name, PASSWORD, binding(client, "tls-exporter"))
    client.log_in(scram)
    assert client.bind("balcony") == f"{name}@{CAPULET}/balcony"


@pytest.mark.parametrize("mechanism", HASHES)
def test_openssl_s_client_exports_the_same_value(connect, name, mechanism):
    client = connect(by_program="-tls1_3")
    scram = OwnScram(f"{mechanism}-PLUS", name, PASSWORD, binding(client, "tls-exporter"))
    client.log_in(scram)
    assert client.bind("balcony") == f"{name}@{CAPULET}/balcony"


@pytest.mark.parametrize("mechanism", HASHES)
@pytest.mark.parametrize(
    "version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION], ids=["TLS 1.2", "TLS 1.3"]
)
def test_the_certificate_of_the_server_binds_a_login_of_scramp(connect, name, mechanism, version):
    client = connect(version)
    end_point = binding(client, "tls-server-end-point")
    scram = ScramClient([f"{mechanism}-PLUS"], name, PASSWORD, channel_binding=end_point)
    client.log_in(scram)
    assert client.bind("balcony") == f"{name}@{CAPULET}/balcony"


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_the_certificate_that_s_client_saw_binds_a_login_of_scramp(connect, name, version):
    client = connect(by_program=version)
    end_point = binding(client, "tls-server-end-point")
    client.log_in(ScramClient(["SCRAM-SHA-256-PLUS"], name, PASSWORD, channel_binding=end_point))


def test_on_tls_1_2_the_handshake_binds_a_login(connect, name):
    client = connect(SSL.TLS1_2_VERSION)
    unique = binding(client, "tls-unique")
    client.log_in(ScramClient(["SCRAM-SHA-1-PLUS"], name, PASSWORD, channel_binding=unique))


@pytest.mark.parametrize("mechanism", HASHES)
def test_scramp_logs_in_without_binding(connect, name, mechanism):
    client = connect()
    client.log_in(ScramClient([mechanism], name, PASSWORD))
    assert client.bind("balcony") == f"{name}@{CAPULET}/balcony"


# Somebody in between


@pytest.mark.parametrize("type", ["tls-exporter", "tls-server-end-point"])
def test_what_binds_another_channel_is_refused(connect, name, type):
    client = connect()
    elsewhere = b"\0" * len(client.pipe.bindings()[type])
    with pytest.raises(LoginRefused, match="not-authorized"):
        client.log_in(OwnScram("SCRAM-SHA-256-PLUS", name, PASSWORD, (type, elsewhere)))


def test_the_value_of_another_connection_is_refused(connect, name):
    client, other = connect(), connect()
    with pytest.raises(LoginRefused, match="not-authorized"):
        client.log_in(
            OwnScram("SCRAM-SHA-256-PLUS", name, PASSWORD, binding(other, "tls-exporter"))
        )


def test_a_client_that_was_not_shown_plus_is_told_of_the_downgrade(connect, name):
    with pytest.raises(LoginRefused, match="not-authorized"):
        connect().log_in(OwnScram("SCRAM-SHA-256", name, PASSWORD, flag="y"))


def test_on_tls_1_2_there_is_no_exporter(connect, name):
    # s_client would export something, but not by the rules of RFC 9266.
    client = connect(by_program="-tls1_2")
    with pytest.raises(LoginRefused, match="not-authorized"):
        client.log_in(
            OwnScram("SCRAM-SHA-256-PLUS", name, PASSWORD, binding(client, "tls-exporter"))
        )
