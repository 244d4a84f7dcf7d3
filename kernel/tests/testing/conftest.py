"""Who talks in the tests of the kit; `host` is the test's own."""

import pytest


@pytest.fixture
def juliet(host):
    return host.connect("juliet@capulet.example/balcony")


@pytest.fixture
def romeo(host):
    return host.connect("romeo@capulet.example/orchard")
