"""Runs that may count the test examples, but not look at them until they are opened."""

import pytest
import run_helpers

from jaxlin import data


class _Sealed:
    """Test examples that may be counted and not looked at."""

    def __init__(self, array):
        self._length = len(array)

    def __len__(self):
        return self._length

    def _refuse(self, *_):
        raise AssertionError("the test set was touched early")

    __getattr__ = __getitem__ = __array__ = __eq__ = _refuse
    __hash__ = None


class SealedDataset:
    """A data set whose test split is sealed until ``is_open()``."""

    def __init__(self, dataset, is_open):
        self._dataset, self._is_open = dataset, is_open
        self._sealed = data.Split(*map(_Sealed, dataset.test))

    def __getattr__(self, name):
        if name == "test" and not self._is_open():
            return self._sealed
        return getattr(self._dataset, name)


def seal(patch, dataset, is_open):
    """Makes an experiment load a data set that is sealed until ``is_open()``."""
    sealed, facts = SealedDataset(dataset, is_open), data.summary(dataset)
    patch.setattr(data, "load", lambda *_: sealed)
    patch.setattr(data, "summary", lambda _: facts)


def watched_run(name, digits, out, *, module, config=None):
    """Runs a study on a sealed test set; returns the parts that were there at the test.

    Args:
      name: of the study.
      digits: the data set.
      out: folder of the run.
      module: whose function ``test`` is the part that opens the seal.
      config: of the run, by default that of a smoke test.
    """
    seen, test = [], module.test

    def opened(config, dataset, run):
        seen.append({path.stem for path in (out / "parts").glob("*.json")})
        return test(config, dataset, run)

    with pytest.MonkeyPatch.context() as patch:
        seal(patch, digits, lambda: seen)
        patch.setattr(module, "test", opened)
        run_helpers.run_study(name, config, out=out, page=False)
    return seen
