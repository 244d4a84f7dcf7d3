"""`stonechat init`: a first configuration, a certificate, and an administrator's account."""

from __future__ import annotations

import json
import os
import re
import secrets
from contextlib import ExitStack
from pathlib import Path

from stonechat.cli.exit_codes import Failure
from stonechat.cli.offline import load, offline_server
from stonechat.cli.output import show
from stonechat.errors import ConfigError, JIDError
from stonechat.jid import JID, domain_to_ascii, prepare_domain

CONFIGURATION = "stonechat.yml"
ADMINISTRATOR = "admin"

# In the order in which a reader wants to meet them.
STANDARD = {
    "roster": "contacts, subscriptions and presence",
    "offline": "messages are kept for those who are away",
    "mam": "conversations are kept, for all devices to show",
    "carbons": "each device sees what the others send and get",
    "sm": "a lost connection is taken up again, and nothing with it is lost",
    "csi": "phones in pockets hear only what matters",
    "push": "phones that sleep are woken for messages",
    "sasl2": "logging in takes fewer round trips",
    "fast": "devices log in again with a token, not the password",
    "disco": "clients find out what the server can do",
    "blocking": "people shut others out, and report spam",
    "vcard": "names and pictures, and a directory for who wants to be found",
    "private": "clients keep their settings here",
    "register": "users change their password, or leave",
    "adhoc": "administrators find their commands in their client",
    "announce": "and can tell everybody something",
    "dialback": "other servers make sure that it is us, without our certificate",
    "ping": "clients and server see whether the other is still there",
    "last": "when a contact was last here",
    "time": "what time it is here",
    "version": "what software this is",
}
# What differs from the plugin's own defaults.
OPTIONS = {
    "blocking": "{{report_to: [{administrator}]}}",
    "register": "{{access: registration}}",
}
# And where there is no domain below the host's, for it is an address.
WITHOUT_SUBDOMAINS = {"vcard": "{{search_domain: null}}"}
# Taken in when somebody wants them.
FURTHER = {
    "migrate": "take everything out to a file, and in from one, from Prosody or ejabberd",
    "shared_roster": "everybody has the same contacts, in groups",
    "block_strangers": "messages come from contacts only",
    "echo": "a service that sends back what it gets",
    "cputime": "how long the server has computed",
}

# No letters that look like digits: it is read off a terminal once.
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
_PLAIN = re.compile(r"[a-z0-9][a-z0-9._/@-]*[a-z0-9]")

# Users expect to reach those of other servers, and the defaults of federation let nobody in
# who cannot prove who he is. A name that is only ours no other server finds.
_FEDERATION = "- {type: s2s, port: 5269}"
_NO_FEDERATION = f"# {_FEDERATION}  # nobody else can find this host"

_TEMPLATE = """\
# The configuration of a Stonechat server, written by `stonechat init`.
#
# `stonechat check-config` tells whether it is right; `stonechat reload` brings changes
# into force while the server runs. Paths start from the directory of this file.

data_dir: data

# The domains that are served. What is set below holds for each of them, unless a
# domain has something of its own here.
hosts:
  {host}:
    # Signed by itself, so clients will ask before they trust it. Put one in its place
    # that they know, and reload.
    certificate: {{chain: {chain}, key: {key}}}

# Ports for clients. On 5222 encryption begins when the client asks for it, which it
# has to; on 5223 with the first octet. On 5269 come other servers: they have to show a
# certificate that an authority has issued, and most of them want to see one, too.
listen:
  - {{type: c2s, port: 5222, starttls: required}}
  - {{type: c2s, port: 5223, tls: direct}}
  {federation}

# Accounts are in the server's own database, and what is kept of a password logs in
# nowhere else.
auth: [internal]

# What is not named here is neither loaded nor offered.
plugins:
{plugins}

# Who may do what; a rule that is not here lets nobody.
access:
  admin: {{users: [{administrator}]}}
  # registration: {{any: true}}  # everybody may make an account with a client

log: {{level: info, format: text}}
"""


def init(host: str, directory: str, *, as_json: bool) -> None:
    """Write everything into a directory, or nothing: Failure says why."""
    try:
        domain = prepare_domain(host)
        administrator = JID.make(ADMINISTRATOR, domain)
    except JIDError as error:
        raise Failure(f"--host: {error}") from error
    place = Path(directory)
    password = _make_password()
    with ExitStack() as undo:
        _write_files(place, domain, administrator, undo)
        with offline_server(load(place / CONFIGURATION)) as server:
            server.hosts[domain].accounts.create(ADMINISTRATOR, password)
        undo.pop_all()
    if as_json:
        result = {
            "configuration": str(place / CONFIGURATION),
            "host": domain,
            "account": administrator.text,
            "password": password,
        }
        show(result, as_json=True)
        return
    show(
        f"Written: {place / CONFIGURATION}, a certificate for {domain} in {place / 'certs'},"
        f" and the database in {place / 'data'}.\n\n"
        f"Administrator: {administrator}\n"
        f"Password:      {password}\n\n"
        "The password is not shown again, and not kept in this form. Start the server with\n"
        f"    stonechat serve --config {place / CONFIGURATION}",
        as_json=False,
    )


def _make_password() -> str:
    groups = ("".join(secrets.choice(_ALPHABET) for _ in range(5)) for _ in range(4))
    return "-".join(groups)


def _write_files(place: Path, domain: str, administrator: JID, undo: ExitStack) -> None:
    from stonechat.net.certificates import write_self_signed

    configuration = place / CONFIGURATION
    name = re.sub(r"[^A-Za-z0-9.-]", "_", domain_to_ascii(domain))
    chain, key = Path("certs") / f"{name}.pem", Path("certs") / f"{name}.key"
    text = _TEMPLATE.format(
        host=_quoted(domain),
        chain=_quoted(str(chain)),
        key=_quoted(str(key)),
        federation=_FEDERATION if _can_be_found(domain) else _NO_FEDERATION,
        plugins="\n".join(_plugin_lines(administrator)),
        administrator=_quoted(administrator.text),
    )
    try:
        place.mkdir(parents=True, exist_ok=True)
        _create(configuration, text)
        undo.callback(configuration.unlink)
        write_self_signed([domain], place / chain, place / key)
        undo.callback((place / chain).unlink)
        undo.callback((place / key).unlink)
    except ConfigError as error:
        raise Failure(str(error), kind="configuration") from error
    except OSError as error:
        where = error.filename or place
        raise Failure(f"{where}: cannot be written: {error.strerror}", kind="files") from error


def _create(path: Path, text: str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise ConfigError(f"{path}: is there already and will not be overwritten") from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def _plugin_lines(administrator: JID) -> list[str]:
    from stonechat.core import plugin_loader

    installed = plugin_loader.installed("plugin")
    special = OPTIONS if _has_room_below(administrator.domain) else OPTIONS | WITHOUT_SUBDOMAINS
    lines = []
    for name, sentence in (STANDARD | FURTHER).items():
        options = special.get(name, "{{}}").format(administrator=_quoted(administrator.text))
        mark = "" if name in STANDARD and name in installed else "# "
        source = "" if name in installed else f"; pip install stonechat-{name.replace('_', '-')}"
        lines.append(f"  {mark}{name}: {options}  # {sentence}{source}")
    return lines


def _can_be_found(domain: str) -> bool:
    """Whether other servers may find a host: by a name in the DNS, no address."""
    labels = domain.split(".")
    return len(labels) > 1 and labels[-1] != "localhost" and _has_room_below(domain)


def _has_room_below(domain: str) -> bool:
    try:
        prepare_domain(f"vjud.{domain}")
    except JIDError:
        return False
    return True


def _quoted(text: str) -> str:
    """As YAML wants it: as it is, or as a JSON string, which is YAML."""
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)
