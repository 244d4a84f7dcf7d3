"""What is said on streams for both directions, and a plugin that proves domains by a word."""

from stonechat import hookimpl
from stonechat.federation import Pair
from stonechat.stanza import Element
from stonechat_s2s_bidi import NS_BIDI, NS_FEATURE

CAPULET, MONTAGUE = "capulet.example", "montague.example"
CHAT, VERONA = "chat.montague.example", "verona.example"
JULIET, ROMEO = f"juliet@{CAPULET}/balcony", f"romeo@{MONTAGUE}/orchard"
NS_PROOF = "urn:example:proof"

BIDI = f"<bidi xmlns='{NS_BIDI}'/>"
FEATURE = f"<bidi xmlns='{NS_FEATURE}'/>"
PROOF = f"<proof xmlns='{NS_PROOF}'/>"


def hark(from_=ROMEO, to=JULIET, body="Hark!"):
    return f"<message from='{from_}' to='{to}' type='chat'><body>{body}</body></message>"


def offers_bidi(features):
    return any(each.qualified_name == f"{NS_FEATURE} bidi" for each in features.elements)


def is_bidi(item):
    return isinstance(item, Element) and item.qualified_name == f"{NS_BIDI} bidi"


def bodies(stanzas):
    return [stanza.body for stanza in stanzas]


def both_ways(server):
    """For each pair and direction that has a stream, whether it is one for both."""
    return {
        (row["direction"], row["remote"]): row["both_ways"]
        for row in server.command("s2s-list")
        if row["state"] == "open"
    }


class Prover:
    """Takes a peer at its word, and is taken at its own: as dialback, but for the dialling."""

    def __init__(self, host, options):
        pass

    @hookimpl
    def stonechat_server_stream_elements(self):
        return {(NS_PROOF, "proof"): self.proof}

    def proof(self, stream, element):
        remote = element.get("from") or stream.pair.remote
        stream.authorize(Pair(stream.pair.local, remote), "a word")

    @hookimpl
    def stonechat_prove_domain(self, stream, pair):
        stream.send_element(Element(NS_PROOF, "proof", {"to": pair.remote}))
        return True
