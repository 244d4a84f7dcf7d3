"""What can be said about a database, and what is refused before the server starts."""

import pytest
from pydantic import ValidationError

from stonechat.options import describe_options
from stonechat_auth_sql import Options
from stonechat_auth_sql.options import parameters_of
from stonechat_auth_sql.statements import TableStatements

SQLITE = "sqlite:///accounts.db"


def options(url=SQLITE, directory="/etc/stonechat", **given):
    given = given or {"table": "accounts"}
    return Options.model_validate({"url": url, **given}, context={"directory": directory})


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("postgresql://reader@db.example/accounts", "postgresql+psycopg"),
        ("mysql://reader@db.example/accounts", "mysql+pymysql"),
        ("mariadb://reader@db.example/accounts", "mysql+pymysql"),
        ("postgresql+psycopg://reader@db.example/accounts", "postgresql+psycopg"),
    ],
)
def test_a_url_need_not_name_the_driver(url, driver):
    assert options(url).url.drivername == driver


def test_a_file_begins_at_the_folder_of_the_configuration():
    assert options().url.database == "/etc/stonechat/accounts.db"
    assert options("sqlite:////srv/accounts.db").url.database == "/srv/accounts.db"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("accounts.db", "is no URL of a database"),
        ("postgresql://u:s3cret@db.example:port/x", "is no URL of a database"),
        (7, "must be a URL"),
        ("oracle9://db.example/x", "names oracle9, which is not known"),
        ("sqlite://", "must name the file"),
        ("sqlite:///:memory:", "must name the file"),
        (
            "postgresql+pg8000://db.example/x",
            "needs pg8000, which is not installed: pip install pg8000",
        ),
    ],
)
def test_a_url_that_cannot_work_is_refused(url, message):
    with pytest.raises(ValidationError, match=message) as caught:
        options(url)
    assert "s3cret" not in str(caught.value)


def test_the_password_comes_from_a_file_and_is_shown_nowhere(tmp_path):
    (tmp_path / "password").write_text("s3cret\n")
    given = options(
        "mysql://reader@db.example/accounts",
        tmp_path,
        table="accounts",
        password_file="password",
    )
    assert given.full_url.password == "s3cret"
    inline = options("mysql://reader:s3cret@db.example/accounts")
    assert "s3cret" not in repr(given) + str(given) + repr(inline) + str(inline)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"columns": {"user": "nick"}}, "needs either `table` or one of"),
        ({"table": "a", "queries": {"find": "SELECT :user"}}, "needs either `table` or one of"),
        ({"table": "a", "queries": {"count": "SELECT 1"}}, "`queries` beside a `table`"),
        ({"table": "a; DROP TABLE b"}, "must be the name of a table"),
        ({"table": 'a"b'}, "must be the name of a table"),
        ({"table": "a.b.c.d"}, "must be the name of a table"),
        ({"table": "a", "columns": {"user": "b.c"}}, "must be the name of a column"),
        ({"table": "a", "columns": {"user": "b`"}}, "must be the name of a column"),
        ({"table": "a", "columns": {"user": ""}}, "at least 1 character"),
        ({"table": "a", "columns": {"password": ""}}, "no column with the password"),
        ({"table": "a", "format": "scram", "columns": {"salt": "s"}}, "either all are named"),
        (
            {
                "table": "a",
                "columns": {
                    "salt": "s",
                    "iterations": "i",
                    "stored_key": "k",
                    "server_key": "v",
                },
            },
            "are for `format: scram`",
        ),
        ({"queries": {"find": "SELECT 1"}}, "queries.find is without :user"),
        (
            {"queries": {"find": "SELECT :user, :password"}},
            "queries.find has :password; it may have :host, :user",
        ),
        (
            {"format": "scram", "queries": {"check": "SELECT :user"}},
            "no use with `format: scram`",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(given, message):
    with pytest.raises(ValidationError, match=message):
        options(**given)


def test_a_colon_in_a_statement_is_not_always_a_parameter():
    statement = r"SELECT a::text, '\:x' FROM t WHERE b = :user AND c = :host"
    assert parameters_of(statement) == ["user", "host"]


def test_names_are_quoted_where_they_have_to_be():
    given = options(table="select.Accounts", columns={"user": "user", "host": "Order"})
    find = str(TableStatements(given, "postgresql").find)
    assert '"select"."Accounts"' in find
    assert '"Order"' in find
    assert ":user" in find


def test_the_reference_has_all_options():
    rows = {row.name: row for row in describe_options(Options)}
    assert rows["url"].is_required
    assert rows["url"].type == "URL of a database"
    assert {"columns.user", "queries.find", "cache_password"} <= rows.keys()
