"""Svmlight and LIBSVM text, whose rows stay sparse."""

import lzma
import sys

import numpy as np
import pytest
import scipy.sparse
from sklearn.datasets import dump_svmlight_file
from table_makers import assert_rows

from jaxlin import data
from jaxlin.data import svmlight

SPARSE = scipy.sparse.random_array(
    (40, 9), density=0.3, format="csr", rng=np.random.default_rng(1)
)
SIGNS = np.where(np.arange(40) % 3, 1, -1)


class TestSvmlight:
    def test_rows_stay_sparse(self, tmp_path):
        path = tmp_path / "a9a.svm"
        dump_svmlight_file(SPARSE, SIGNS, str(path), zero_based=False)
        found = data.load(path)
        assert scipy.sparse.issparse(found.train.features)
        assert found.train.features.format == "csr"
        assert found.train.features.dtype == np.float32
        assert_rows(found.train, SPARSE.toarray(), SIGNS, found.class_names)
        assert found.class_names == ("-1", "1")
        assert found.feature_names is None
        assert found.num_features == 9

    @pytest.mark.parametrize("zero_based", [True, False])
    def test_a_narrower_test_file_gets_the_width_of_the_training_file(
        self, tmp_path, zero_based
    ):
        """The case of a9a: 123 features, of which 122 occur in its test file."""
        train, test = tmp_path / "a9a", tmp_path / "a9a.t"
        narrow = SPARSE[:, [1, 2, 3]][:10]
        for path, rows in ((train, SPARSE), (test, narrow)):
            labels = SIGNS[: rows.shape[0]]
            dump_svmlight_file(rows, labels, str(path), zero_based=zero_based)
        found = data.load(train, reader=svmlight.read, test=test)
        assert found.test.features.shape == (10, 9)
        np.testing.assert_array_equal(
            found.test.features.toarray()[:, :3], narrow.toarray().astype("f4")
        )
        assert_rows(found.train, SPARSE.toarray(), SIGNS, found.class_names)
        assert found.name == "a9a"

    def test_packed_files_comments_and_queries(self, tmp_path):
        path = tmp_path / "some.libsvm.xz"
        path.write_bytes(lzma.compress(b"# made\n2 qid:1 1:0.5 3:2 # first\n1 2:1\n\n"))
        found = data.load(path)
        np.testing.assert_array_equal(
            found.train.features.toarray(), [[0.5, 0, 2], [0, 1, 0]]
        )
        assert found.class_names == ("1", "2")
        assert found.train.labels.tolist() == [1, 0]

    def test_the_summary_tells_rows_apart(self, tmp_path):
        path = tmp_path / "some.svm"
        described = []
        for text in ("1 1:1 2:2\n2 1:3\n", "1 1:1 2:2\n2 2:3\n", "1 1:1 2:2\n2 1:4\n"):
            path.write_text(text)
            described.append(data.summary(data.load(path))["train"]["features"])
        assert len({one["sha256"] for one in described}) == 3
        assert described[0]["shape"] == [2, 2]


GOOD_LINES = ["1 1:1 2:2\n", "2 1:3\n"] * 50
BAD_LINES = {
    "a word": ("3 1:x\n", "line 71 must be .* got '3 1:x'"),
    "indices that fall": (
        "1 2:1 1:2\n",
        "line 71 must be .* rising indices, got '1 2:1",
    ),
    "no index": ("1 5\n", "line 71 must be a label and index:value pairs"),
    "a huge index": ("1 99999999999:1\n", "line 71 must be .* got '1 99999999999:1'"),
    "no label": ("cat 1:2\n", "line 71 must be .* got 'cat 1:2'"),
    "several labels": ("1,2 1:2\n", "line 71 must be .* got '1,2 1:2'"),
    "infinite": ("1 2:inf\n", "must be finite, got inf at row 70, feature 1"),
    "a fraction": ("0.5 2:1\n", "labels must be integers, booleans or text"),
}


@pytest.mark.parametrize(("line", "words"), BAD_LINES.values(), ids=BAD_LINES)
def test_bad_lines_are_named(tmp_path, line, words):
    good, path = tmp_path / "good.svm", tmp_path / "bad.svm"
    good.write_text("".join(GOOD_LINES))
    path.write_text("".join([*GOOD_LINES[:70], line, *GOOD_LINES[70:]]))
    with pytest.raises(ValueError, match=words) as caught:
        data.load(path, test=good)
    assert str(path) in str(caught.value)
    if "line 71" in words:
        with pytest.raises(ValueError, match=words) as caught:
            data.load(good, test=path)
        assert str(path) in str(caught.value)


def test_svmlight_has_no_names_and_needs_scikit_learn(tmp_path, monkeypatch):
    path = tmp_path / "some.svm"
    path.write_text("".join(GOOD_LINES))
    with pytest.raises(ValueError, match="no columns with names, got label='a'; leave"):
        data.load(path, label="a")
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(data.DataUnavailableError, match="pip install"):
        data.load(path)
