"""Entity Time (XEP-0202): tells a client what time it is here."""

import time

from stonechat import hookimpl, timestamps
from stonechat.host import Host
from stonechat.iq import IqHandler
from stonechat.options import PluginOptions
from stonechat.stanza import Element, Iq

NS_TIME = "urn:xmpp:time"


class Plugin:
    def __init__(self, host: Host, options: PluginOptions) -> None:
        self.host = host

    @hookimpl
    def stonechat_disco_features(self) -> list[str]:
        return [NS_TIME]

    @hookimpl
    def stonechat_iq_handlers(self) -> dict[tuple[str, str], IqHandler]:
        return {("get", NS_TIME): self.report}

    def report(self, iq: Iq) -> Element:
        seconds = self.host.now() // 1_000_000
        answer = Element(NS_TIME, "time")
        answer.add("tzo", zone_offset(time.localtime(seconds).tm_gmtoff))
        answer.add("utc", timestamps.written(seconds * 1_000_000))
        return answer


def zone_offset(seconds: int) -> str:
    """A distance from UTC as XEP-0082 writes it: `+02:00`, `-03:30`, `Z` for none."""
    if not seconds:
        return "Z"
    hours, minutes = divmod(abs(seconds) // 60, 60)
    return f"{'-' if seconds < 0 else '+'}{hours:02}:{minutes:02}"
