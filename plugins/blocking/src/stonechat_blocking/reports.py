"""Reports of spam and abuse that come with a block (XEP-0377)."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from sqlalchemy import Connection

from stonechat.errors import StorageError
from stonechat.host import Host
from stonechat.jid import JID
from stonechat.namespaces import NS_CLIENT, NS_STANZA_ID
from stonechat.stanza import Element, Message, new_id
from stonechat.timestamps import written
from stonechat.xml import XML_LANG
from stonechat_blocking import tables

NS_BLOCKING = "urn:xmpp:blocking"
NS_REPORTING = "urn:xmpp:reporting:1"

# What is kept of one report. A client says what it likes, and a stanza may be large.
MAX_TEXTS = 10
MAX_TEXT_LENGTH = 2000
MAX_STANZA_IDS = 100
MAX_NAME_LENGTH = 256

DAY = 86_400_000_000


class Report(NamedTuple):
    """What a user says of somebody. `texts` are (language, text), `stanza_ids` (by, id)."""

    jid: str
    reason: str
    texts: tuple[tuple[str, str], ...] = ()
    stanza_ids: tuple[tuple[str, str], ...] = ()
    to_origin: bool = False
    to_third_parties: bool = False

    def to_element(self, *, with_ids: bool) -> Element:
        """The block command that it came with, of this address alone."""
        block = Element(NS_BLOCKING, "block")
        item = block.add("item", jid=self.jid)
        report = item.add("report", namespace=NS_REPORTING, reason=self.reason)
        for by, id_ in self.stanza_ids if with_ids else ():
            report.add("stanza-id", namespace=NS_STANZA_ID, by=by, id=id_)
        for lang, text in self.texts:
            report.add("text", text).set(XML_LANG, lang or None)
        if self.to_origin:
            report.add("report-origin")
        if self.to_third_parties:
            report.add("third-party")
        return block

    def to_json(self) -> bytes:
        """As it is stored; who is reported stands beside it."""
        return json.dumps(self._asdict(), ensure_ascii=False).encode()


def read(item: Element, jid: JID) -> Report | None:
    """The report in an item of a block command; None where there is none, or no reason.

    A report never decides what becomes of the block (section 5), so one that is
    malformed is no error.
    """
    element = item.find("report", NS_REPORTING)
    if element is None or not (reason := element.get("reason").strip()):
        return None
    texts = [(text.lang[:MAX_NAME_LENGTH], text.text.strip()) for text in element.find_all("text")]
    ids = [
        (each.get("by"), each.get("id")) for each in element.find_all("stanza-id", NS_STANZA_ID)
    ]
    return Report(
        jid.text,
        reason[:MAX_NAME_LENGTH],
        tuple((lang, text[:MAX_TEXT_LENGTH]) for lang, text in texts[:MAX_TEXTS] if text),
        tuple((by[:MAX_NAME_LENGTH], id_[:MAX_NAME_LENGTH]) for by, id_ in ids[:MAX_STANZA_IDS]),
        element.find("report-origin") is not None,
        element.find("third-party") is not None,
    )


class Reports:
    """Logs reports, keeps them for the operators, and passes them on."""

    def __init__(
        self,
        host: Host,
        *,
        kept: int,
        per_day: int,
        report_to: tuple[JID, ...],
        third_parties: tuple[JID, ...],
        to_origin: bool,
    ) -> None:
        self._host = host
        self._kept = kept
        self._per_day = per_day
        self._report_to = report_to
        self._third_parties = third_parties
        self._to_origin = to_origin

    def file(self, reporter: JID, report: Report) -> None:
        """Take a report in. It is no reason to refuse the block that it came with."""
        # What the reporter wrote is for those who handle reports, not for the log.
        log = self._host.log.bind(
            reporter=reporter.bare.text,
            reported=report.jid,
            reason=report.reason,
            stanzas=len(report.stanza_ids),
            report_origin=report.to_origin,
            third_party=report.to_third_parties,
        )
        try:
            is_kept = self._keep(reporter.localpart, report)
        except StorageError as error:
            log.error("abuse reported, but the report was not kept", fault=str(error))
        else:
            if not is_kept:
                log.info("too many reports of one account: this one was dropped")
                return
            log.info("abuse reported")
        self._forward(reporter.bare, report)

    def _keep(self, localpart: str, report: Report) -> bool:
        now = self._host.now()
        row = {
            "host": self._host.name,
            "localpart": localpart,
            "received_at": now,
            "jid": report.jid,
            "content": report.to_json(),
        }

        def keep(connection: Connection) -> bool:
            name = self._host.name
            if tables.count_reports(connection, name, localpart, now - DAY) >= self._per_day:
                return False
            tables.add_report(connection, row, self._kept)
            return True

        return self._host.storage.write(keep)

    # Passing on

    def _forward(self, reporter: JID, report: Report) -> None:
        what = _REASONS.get(report.reason, report.reason)
        own_words = " ".join(text for _, text in report.texts)
        for to in self._report_to:
            text = f"{reporter} has blocked and reported {report.jid} for {what}."
            self._send(to, f"{text} {own_words}".strip(), report.to_element(with_ids=True))
        # Others hear of it only where the reporter has agreed (section 4.1), and not from
        # whom: an id of a message in the reporter's archive names the archive.
        others: list[JID] = list(self._third_parties) if report.to_third_parties else []
        origin = JID.parse(JID.parse(report.jid).domain)
        if report.to_origin and self._to_origin and origin != self._host.jid:
            others.append(origin)
        for to in others:
            text = f"A user of {self._host.name} has blocked and reported {report.jid} for {what}."
            self._send(to, f"{text} {own_words}".strip(), report.to_element(with_ids=False))

    def _send(self, to: JID, text: str, payload: Element) -> None:
        body = Element(NS_CLIENT, "body", None, text)
        self._host.route(
            Message(body, payload, to=to, from_=self._host.jid, type="normal", id=new_id())
        )

    # For the operators

    def newest(self, limit: int) -> list[dict[str, Any]]:
        """The newest reports as plain data; StorageError."""
        name = self._host.name
        rows = self._host.storage.read(lambda c: tables.newest_reports(c, name, limit))
        return [_describe(name, *row) for row in rows]

    def clear(self) -> int:
        """Delete all reports; returns how many there were. StorageError."""
        name = self._host.name
        return self._host.storage.write(lambda c: tables.clear_reports(c, name))


_REASONS = {"urn:xmpp:reporting:spam": "spam", "urn:xmpp:reporting:abuse": "abuse"}


def _describe(host: str, received_at: int, localpart: str, jid: str, content: bytes) -> Any:
    report: dict[str, Any] = json.loads(content)
    return {
        "time": written(received_at),
        "reporter": f"{localpart}@{host}",
        "reported": jid,
        "reason": report["reason"],
        "text": " ".join(text for _, text in report["texts"]),
        "stanza_ids": [id_ for _, id_ in report["stanza_ids"]],
        "report_origin": report["to_origin"],
        "third_party": report["to_third_parties"],
    }
