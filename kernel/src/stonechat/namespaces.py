"""XML namespaces of the RFCs and of what the kernel itself answers.

A plugin keeps the namespaces of its own XEP in its own module.
"""

NS_XML = "http://www.w3.org/XML/1998/namespace"
NS_XMLNS = "http://www.w3.org/2000/xmlns/"

NS_CLIENT = "jabber:client"
NS_SERVER = "jabber:server"
NS_COMPONENT = "jabber:component:accept"
NS_DIALBACK = "jabber:server:dialback"  # XEP-0220
NS_STREAM = "http://etherx.jabber.org/streams"

NS_STREAM_ERRORS = "urn:ietf:params:xml:ns:xmpp-streams"
NS_STANZA_ERRORS = "urn:ietf:params:xml:ns:xmpp-stanzas"
NS_TLS = "urn:ietf:params:xml:ns:xmpp-tls"
NS_SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
NS_BIND = "urn:ietf:params:xml:ns:xmpp-bind"
NS_SESSION = "urn:ietf:params:xml:ns:xmpp-session"
NS_SASL_CHANNEL_BINDING = "urn:xmpp:sasl-cb:0"  # XEP-0440

NS_ROSTER = "jabber:iq:roster"
NS_DELAY = "urn:xmpp:delay"  # XEP-0203
NS_DATA_FORM = "jabber:x:data"  # XEP-0004
NS_STANZA_ID = "urn:xmpp:sid:0"  # XEP-0359
NS_HINTS = "urn:xmpp:hints"  # XEP-0334
NS_RSM = "http://jabber.org/protocol/rsm"  # XEP-0059
NS_FORWARD = "urn:xmpp:forward:0"  # XEP-0297
NS_CARBONS = "urn:xmpp:carbons:2"  # XEP-0280
NS_DISCO_INFO = "http://jabber.org/protocol/disco#info"  # XEP-0030
NS_DISCO_ITEMS = "http://jabber.org/protocol/disco#items"
