import errno
import json
import logging
import os
import time

import numpy as np
import pytest

from jaxlin import data
from jaxlin.data import cache, staging

TRAIN = np.random.default_rng(0).integers(0, 256, (30, 12), dtype=np.uint8)
LABELS = (np.arange(30) % 3).astype(np.int32)


class Source:
    """A folder with files and a decoder that counts how often it is asked."""

    def __init__(self, folder):
        self.folder = folder
        self.calls = 0
        folder.mkdir()
        (folder / "shard").write_bytes(b"0123")

    def decode(self):
        self.calls += 1
        return data.Dataset(
            name="toy",
            train=data.Split(TRAIN, LABELS),
            test=data.Split(TRAIN[:9], LABELS[:9]),
            class_names=("a", "b", "c"),
            image_shape=(2, 2, 3),
            max_value=255.0,
            version="1.0.0",
            source=str(self.folder),
        )

    def load(self, folder):
        found = cache.through_cache(
            self.decode, name="toy", source=self.folder, folder=folder
        )
        assert_is_the_toy(found, self.folder)
        return found


def assert_is_the_toy(found, folder):
    np.testing.assert_array_equal(found.train.features, TRAIN)
    np.testing.assert_array_equal(found.train.labels, LABELS)
    np.testing.assert_array_equal(found.test.features, TRAIN[:9])
    np.testing.assert_array_equal(found.test.labels, LABELS[:9])
    facts = found._replace(train=None, test=None)
    assert facts == data.Dataset(
        "toy", None, None, ("a", "b", "c"), (2, 2, 3), 255.0, "1.0.0", str(folder)
    )


@pytest.fixture
def source(tmp_path):
    return Source(tmp_path / "1.0.0")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


def the_entry(folder):
    (entry,) = folder.iterdir()
    return entry


def test_decoded_once_and_mapped_read_only(source, folder):
    for _ in range(3):
        found = source.load(folder)
        assert isinstance(found.train.features, np.memmap)
        assert not found.train.features.flags.writeable
    assert source.calls == 1


def test_a_source_elsewhere_is_decoded_of_its_own(source, folder, tmp_path):
    """Other images may have files of the same names, sizes and times."""
    source.load(folder)
    (tmp_path / "other").mkdir()
    source.folder = source.folder.rename(tmp_path / "other" / "1.0.0")
    source.load(folder)
    assert source.calls == 2


def test_a_link_to_the_source_is_a_hit(source, folder, tmp_path):
    """Reports name the path that was asked for, not the one first decoded."""
    source.load(folder)
    (tmp_path / "other").mkdir()
    link = tmp_path / "other" / "1.0.0"
    link.symlink_to(source.folder)
    source.folder = link
    source.load(folder)
    assert source.calls == 1


CHANGES = {
    "size": lambda shard: shard.write_bytes(b"01234"),
    "time": lambda shard: os.utime(shard, ns=(1, 1)),
    "name": lambda shard: shard.rename(shard.with_name("other")),
    "another file": lambda shard: shard.with_name("other").touch(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_changed_source_is_decoded_again(source, folder, change):
    source.load(folder)
    change(source.folder / "shard")
    source.load(folder)
    assert source.calls == 2


def flip_last_byte(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def transpose(path):
    """Same bytes in all, another shape."""
    np.save(path, np.load(path).T.copy())


def forget_a_key(path):
    meta = json.loads(path.read_text())
    del meta["dataset"]["class_names"]
    path.write_text(json.dumps(meta))


DAMAGES = {
    "cut": ("train_features.npy", lambda path: os.truncate(path, 200)),
    "emptied": ("test_features.npy", lambda path: os.truncate(path, 0)),
    "pixel flipped": ("train_features.npy", flip_last_byte),
    "label flipped": ("test_labels.npy", flip_last_byte),
    "another shape": ("train_features.npy", transpose),
    "array gone": ("test_labels.npy", os.remove),
    "meta gone": ("meta.json", os.remove),
    "meta cut": ("meta.json", lambda path: os.truncate(path, 50)),
    "meta not a table": ("meta.json", lambda path: path.write_text("[]")),
    "meta incomplete": ("meta.json", forget_a_key),
}


@pytest.mark.parametrize(("name", "damage"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_entry_is_rebuilt(source, folder, name, damage):
    source.load(folder)
    damage(the_entry(folder) / name)
    source.load(folder)
    assert source.calls == 2
    source.load(folder)
    assert source.calls == 2


@pytest.mark.parametrize("code", [errno.EACCES, errno.ENOMEM, errno.EMFILE])
def test_an_entry_that_cannot_be_read_is_left_alone(
    source, folder, monkeypatch, caplog, code
):
    source.load(folder)
    entry = the_entry(folder)
    before = {path.name: path.read_bytes() for path in entry.iterdir()}

    def fail(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr(np, "load", fail)
        source.load(folder)
    assert source.calls == 2
    assert "left alone" in caplog.text
    assert {path.name: path.read_bytes() for path in entry.iterdir()} == before
    source.load(folder)
    assert source.calls == 2


def test_without_a_writable_folder_it_works_and_warns_once(source, tmp_path, caplog):
    taken = tmp_path / "a file"
    taken.touch()
    with caplog.at_level(logging.WARNING):
        source.load(taken)
        source.load(taken)
    assert source.calls == 2
    (record,) = caplog.records
    assert "JAXLIN_CACHE" in record.message
    assert str(taken) in record.message


def test_a_full_disk_leaves_no_entry(source, folder, monkeypatch, caplog):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    source.load(folder)
    assert "No space left" in caplog.text
    assert list(folder.iterdir()) == []


def test_an_interrupted_write_leaves_no_entry(source, folder, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", interrupt)
        with pytest.raises(KeyboardInterrupt):
            source.load(folder)
    assert list(folder.iterdir()) == []
    source.load(folder)
    assert source.calls == 2


def test_the_folder_is_the_argument_else_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("JAXLIN_CACHE", str(tmp_path))
    assert cache.cache_folder("/elsewhere").as_posix() == "/elsewhere"
    assert cache.cache_folder(None) == tmp_path
    monkeypatch.delenv("JAXLIN_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.cache_folder(None) == tmp_path / ".cache" / "jaxlin"


def test_staging_sweeps_what_killed_runs_left_long_ago(tmp_path):
    fresh = tmp_path / f"{staging.STAGING_PREFIX}fresh"
    old = tmp_path / f"{staging.STAGING_PREFIX}old"
    kept = tmp_path / "older, but not ours"
    for folder in (fresh, old, kept):
        folder.mkdir()
    for folder in (old, kept):
        os.utime(folder, (time.time() - 90_000,) * 2)
    with staging.staging(tmp_path) as stage:
        assert stage.is_dir()
    assert sorted(tmp_path.iterdir()) == sorted([fresh, kept])
