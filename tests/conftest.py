"""What tests of the whole server share."""

import os
import shutil
from collections.abc import Callable

import pytest


@pytest.fixture(scope="session")
def needs() -> Callable[..., None]:
    """`needs("profanity")`: skips where a program is not installed, and fails where it has to be.

    It has to be where STONECHAT_REQUIRE_SERVERS is set, as in `.ci/run`.
    """

    def check(*programs: str) -> None:
        missing = [program for program in programs if shutil.which(program) is None]
        if not missing:
            return
        text = f"not installed: {', '.join(missing)}"
        if os.environ.get("STONECHAT_REQUIRE_SERVERS"):
            pytest.fail(text, pytrace=False)
        pytest.skip(text)

    return check
