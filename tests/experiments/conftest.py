"""One run of the main experiment, looked at by several tests."""

import pytest
import run_helpers


@pytest.fixture(scope="session")
def smoke_run(tmp_path_factory):
    """The smoke-size minibatch run, never interrupted. Not to be written into."""
    return run_helpers.run(out=tmp_path_factory.mktemp("smoke") / "run")
