"""The users of the attack suite, each with what lies around it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from place import LEVELS, USERS, User, make_user


@pytest.fixture(params=USERS, scope="session")
def user(request: pytest.FixtureRequest) -> Iterator[User]:
    """Root and an ordinary user."""
    yield from make_user(request.param)


@pytest.fixture(params=LEVELS, scope="session")
def level(request: pytest.FixtureRequest, user: User) -> str:
    """Each level; one that this machine does not offer is skipped by name."""
    level: str = request.param
    if missing := user.level(level):
        if level == "namespaces":
            pytest.fail(f"the strongest level is not reached: {missing}")
        pytest.skip(f"level {level}: {missing}")
    return level
