"""Backends that several tests share."""

import pytest

from tests.backend.service import Service


@pytest.fixture(scope="session")
def slow(tmp_path_factory):
    """A service whose jobs do what their prompt says, with small limits."""
    service = Service(tmp_path_factory.mktemp("slow"), "tests.backend.slow_service").start()
    yield service
    service.stop()


@pytest.fixture(scope="session")
def slow_world(slow):
    return slow.new_world({"name": "Shared"})
