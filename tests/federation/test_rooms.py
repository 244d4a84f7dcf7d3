"""A user of ours in a room of theirs (XEP-0045)."""

import pytest
from peers import CAPULET

OWNER = "http://jabber.org/protocol/muc#owner"
MUC = "http://jabber.org/protocol/muc"


@pytest.mark.parametrize("peer", ["prosody", "ejabberd"], indirect=True)
def test_a_room_of_another_server_can_be_joined(capulet, peer, people):
    juliet = people.client(capulet, f"juliet@{CAPULET}")
    romeo = people.client(peer, f"romeo@{peer.domain}")
    room = f"ball@{peer.rooms}.{peer.domain}"

    romeo.send_raw(f"<presence to='{room}/mask'><x xmlns='{MUC}'/></presence>")
    romeo.presence(f"{room}/mask")
    # One that is new is locked for all others, on some servers.
    romeo.send_raw(
        f"<iq type='set' id='unlock' to='{room}'><query xmlns='{OWNER}'>"
        "<x xmlns='jabber:x:data' type='submit'/></query></iq>"
    )
    romeo.sync()

    juliet.send_raw(f"<presence to='{room}/torch'><x xmlns='{MUC}'/></presence>")
    juliet.presence(f"{room}/mask")
    juliet.presence(f"{room}/torch")
    romeo.presence(f"{room}/torch")

    juliet.say(room, "Good pilgrim, you do wrong your hand too much.", "groupchat")
    romeo.say(room, "Have not saints lips?", "groupchat")
    for one in (juliet, romeo):
        said = one.message("Good pilgrim, you do wrong your hand too much.")
        assert (said["type"], said["from"]) == ("groupchat", f"{room}/torch")
        assert one.message("Have not saints lips?")["from"] == f"{room}/mask"

    juliet.send_presence(to=f"{room}/torch", type="unavailable")
    juliet.presence(f"{room}/torch", "unavailable")
    romeo.presence(f"{room}/torch", "unavailable")
    romeo.send_presence(to=f"{room}/mask", type="unavailable")
    romeo.presence(f"{room}/mask", "unavailable")
