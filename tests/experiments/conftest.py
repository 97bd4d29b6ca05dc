"""Fixtures of the tests of experiments: a run, its data, a folder."""

import functools

import jax
import pytest
import run_helpers

from experiments.common import run_folder
from jaxlin import data


@pytest.fixture(scope="session")
def finished_study(tmp_path_factory):
    """A function that runs a study once. The folder is not to be written into."""

    @functools.cache
    def run(name):
        out = tmp_path_factory.mktemp(name) / "run"
        return run_helpers.run_study(name, out=out)

    return run


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


@pytest.fixture
def folder(tmp_path):
    """A new run folder, in which nothing ran yet."""
    return run_folder.create(tmp_path / "run", config=run_helpers.FOLDER_CONFIG)


@pytest.fixture
def compiled(tmp_path, monkeypatch):
    """Names of programs compiled from here on, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    # What an earlier test compiled would not be compiled again, nor seen.
    jax.clear_caches()
    names = run_helpers.compiled_programs()
    del names[:]
    return names
