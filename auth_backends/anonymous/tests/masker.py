"""People who come without an account, and what can be found of them."""

from sqlalchemy import inspect

from stonechat.testing.client import TestClient

NS_SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
NS_DISCO_INFO = "http://jabber.org/protocol/disco#info"

# All that keeps something of an account.
KEEPERS = {
    name: {}
    for name in (
        *("roster", "private", "vcard", "offline", "last", "mam", "blocking", "privacy"),
        *("disco", "sasl2", "fast", "sm", "push", "register", "carbons"),
    )
}


def begin(host, response="", name="auth", **stream):
    stream = host.open_stream(tls=True, **stream)
    stream.send(f"<{name} xmlns='{NS_SASL}' mechanism='ANONYMOUS'>{response}</{name}>")
    return stream


def log_in(host, response="", resource=""):
    stream = begin(host, response)
    answer = stream.receive()
    assert answer.name == "success", answer
    stream.open()
    return TestClient(stream, resource)


def by_name(host, localpart, password="anything"):
    stream = host.open_stream(tls=True)
    answer = stream.authenticate(localpart, password)
    if answer.name != "success":
        return answer.first().name
    stream.open()
    return TestClient(stream, "")


def backend_of(host):
    return host.server.kernel.backends_of(host.kernel.accounts)[-1]


def traces(host, localpart):
    """The tables in which a name can be found."""

    def work(connection):
        found = []
        for table in inspect(connection).get_table_names():
            # The names are our own. By ODBC, SQLAlchemy cannot find out what columns they have.
            rows = connection.exec_driver_sql(f"SELECT * FROM {table}")  # noqa: S608
            if any(localpart in str(value) for row in rows.all() for value in row):
                found.append(table)
        return found

    return host.kernel.storage.read(work)
