"""Accounts with their credentials come from elsewhere, and go there."""

import pytest

from stonechat import hookimpl
from stonechat.auth import (
    AccountExists,
    AccountNotFound,
    BadPassword,
    Credentials,
    Unsupported,
    derive_scram,
)

CAPULET = "capulet.example"
SCRAM = derive_scram("pencil", "SHA-256", b"salt", 5000)


class Witness:
    """Writes down what it is told of accounts."""

    def __init__(self, host, options):
        self.told = []

    @hookimpl
    def stonechat_account_created(self, account):
        self.told.append(f"{account.localpart} created")

    @hookimpl
    def stonechat_account_removed(self, account):
        self.told.append(f"{account.localpart} removed")


@pytest.fixture(params=["internal", "testing"])
def host(request, server):
    server.configure(auth=[request.param])
    return server.host(CAPULET, plugin_classes={"witness": Witness})


def keeps_hashes(host):
    return host.server.kernel.configuration.hosts[CAPULET].auth[0].name == "internal"


def test_an_account_comes_with_its_password(host):
    accounts = host.kernel.accounts
    accounts.import_account("juliet", Credentials("pencil"))
    assert accounts.check_password("juliet", "pencil")
    # Nothing of an earlier account of that name is left to the new one.
    assert host.plugin("witness").told == ["juliet removed", "juliet created"]
    with pytest.raises(AccountExists):
        accounts.import_account("juliet", Credentials("pen"))
    assert accounts.check_password("juliet", "pencil")


def test_an_account_comes_with_hashes_where_they_are_kept(host):
    accounts = host.kernel.accounts
    if keeps_hashes(host):
        accounts.import_account("juliet", Credentials("", (SCRAM,)))
        assert accounts.check_password("juliet", "pencil")
        assert accounts.scram_hashes() == ("SHA-256",)
    else:
        with pytest.raises(Unsupported):
            accounts.import_account("juliet", Credentials("", (SCRAM,)))
        assert not accounts.exists("juliet")


@pytest.mark.parametrize("password", ["", "a\0b"])
def test_what_can_be_no_password_makes_no_account(host, password):
    with pytest.raises(BadPassword):
        host.kernel.accounts.import_account("juliet", Credentials(password))
    assert not host.kernel.accounts.exists("juliet")


def test_what_is_kept_of_a_password_can_be_taken_elsewhere(host):
    accounts = host.kernel.accounts
    accounts.create("juliet", "pencil")
    kept = accounts.credentials("juliet")
    assert kept
    accounts.remove("juliet")
    accounts.import_account("juliet", kept)
    assert accounts.check_password("juliet", "pencil")
    with pytest.raises(AccountNotFound):
        accounts.credentials("romeo")


def test_credentials_are_shown_to_nobody():
    text = repr(Credentials("pencil", (SCRAM,)))
    assert "pencil" not in text
    assert repr(SCRAM.stored_key) not in text
    assert not Credentials()
