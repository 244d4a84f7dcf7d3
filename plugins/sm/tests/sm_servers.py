"""The server of the Montagues, which counts what comes, and the Capulets' that it counts for."""

from sm_clients import nonzas

from stonechat import hookimpl
from stonechat.federation import Pair
from stonechat.stanza import Element, Stanza
from stonechat.testing.remote import EXTERNAL
from stonechat_sm.elements import NS_SM

CAPULET, MONTAGUE = "capulet.example", "montague.example"
ROMEO = f"romeo@{MONTAGUE}/orchard"
FEATURE = Element(NS_SM, "sm").freeze()
ENABLED = f"<enabled xmlns='{NS_SM}'/>"
FAILED = f"<failed xmlns='{NS_SM}'/>"
NS_BOTH = "urn:example:both"
BOTH = f"<both xmlns='{NS_BOTH}'/>"


class Both:
    """Lets a stream be for both directions, as XEP-0288 does."""

    def __init__(self, host, options):
        pass

    @hookimpl
    def stonechat_server_stream_elements(self):
        return {
            (NS_BOTH, "both"): lambda stream, element: stream.make_bidirectional(),
            (NS_BOTH, "pair"): self.take_pair,
        }

    def take_pair(self, stream, element):
        """Believes a peer that it is somebody else, too."""
        stream.authorize(Pair(stream.pair.local, element.get("from")), "a word")

    @hookimpl
    def stonechat_server_stream_opened(self, stream):
        if any(each.namespace == NS_BOTH for each in stream.features):
            stream.make_bidirectional()


class Believing(Both):
    """Lets domains be proven by something else than a certificate, as XEP-0220 does."""

    @hookimpl
    def stonechat_prove_domain(self, stream, pair):
        return None


def admit(remote, *features):
    """A stream of ours that the peer lets in; it offers stream management."""
    stream = remote.accept_secure(EXTERNAL, *features)
    stream.accept()
    stream.answer(FEATURE)
    return stream


def managed(remote, *features):
    """The same, and both sides count."""
    stream = admit(remote, *features)
    enable = stream.receive_element()
    assert enable == Element(NS_SM, "enable"), enable
    stream.send(ENABLED)
    return stream


def joined(remote, host=CAPULET):
    """A stream of the peer's on which both sides count."""
    stream = remote.join(host)
    stream.send(Element(NS_SM, "enable"))
    assert stream.receive_element() == Element(NS_SM, "enabled")
    return stream


def say(client, *bodies):
    for body in bodies:
        client.message(ROMEO, f"{body}")


def hark(body="Hark!", to=f"juliet@{CAPULET}/balcony"):
    return f"<message from='{ROMEO}' to='{to}' type='chat'><body>{body}</body></message>"


def names(stream):
    """What has come: the bodies of stanzas, and the names of all else."""
    items = stream.received()
    return [item.body if isinstance(item, Stanza) else item.name for item in items]


def refusal(stream):
    """The condition of the `<failed/>` that has come."""
    (element,) = nonzas(stream)
    assert (element.namespace, element.name) == (NS_SM, "failed"), element
    return element.elements[0].name
