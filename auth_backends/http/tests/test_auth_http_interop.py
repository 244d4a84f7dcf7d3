"""slixmpp logs in with a password that a web application knows, over a real server."""

import pytest

from stonechat.testing import LoginFailed, until

ALL = (
    *("check_password", "user_exists", "set_password", "create_user", "remove_user"),
    *("users", "count_users"),
)
PASSWORD = "R0m30 & Juliet"


@pytest.fixture
def start(stonechat_process, secret_file):
    def start(url, auth=("internal", "http"), **options):
        given = {"http": {"url": url, "secret_file": str(secret_file), **options}}
        if "internal" in auth:
            given["internal"] = {"iterations": 4096}
        return stonechat_process(
            {
                "hosts": {"capulet.example": {}},
                "auth": list(auth),
                "auth_options": given,
                "plugins": {
                    "roster": {},
                    "offline": {},
                    "register": {"require_encryption": False},
                },
            }
        )

    return start


def login(slixmpp, process, name, password=PASSWORD):
    return slixmpp.available(process, f"{name}@capulet.example/balcony", password=password)


def test_slixmpp_logs_in_while_the_application_is_there(start, slixmpp, application):
    web = application(juliet=PASSWORD)
    process = start(web.url)
    process.register("romeo@capulet.example", password=PASSWORD)
    romeo = login(slixmpp, process, "romeo")
    romeo.say("juliet@capulet.example", "Wherefore art thou?")
    romeo.sync()
    juliet = login(slixmpp, process, "juliet")
    assert juliet.message()["body"] == "Wherefore art thou?"
    web.stop()
    with pytest.raises(LoginFailed):
        login(slixmpp, process, "mercutio")
    assert "temporary-auth-failure" in process.log
    romeo = login(slixmpp, process, "romeo")
    romeo.say("juliet@capulet.example/balcony", "Still there?")
    assert juliet.message("Still there?")
    web.start()

    def is_back():
        try:
            return login(slixmpp, process, "juliet")
        except LoginFailed:
            return None

    assert until(is_back, "login").bare == "juliet@capulet.example"


def test_accounts_of_the_application_are_made_and_removed_through_us(start, slixmpp, application):
    process = start(application().url, auth=["http"], operations=ALL)
    process.register("juliet@capulet.example", password=PASSWORD)
    login(slixmpp, process, "juliet").leave()
    process.run("change-password", "juliet@capulet.example", "--password-stdin", stdin="another\n")
    with pytest.raises(LoginFailed):
        login(slixmpp, process, "juliet")
    assert "juliet" in process.run("registered-users", "capulet.example")
    process.run("unregister", "juliet@capulet.example")
    with pytest.raises(LoginFailed):
        login(slixmpp, process, "juliet", "another")
