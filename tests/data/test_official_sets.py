"""Facts of published sets, and what identifies their content."""

import hashlib
from importlib import resources

import image_copies
import numpy as np

from jaxlin import data
from jaxlin.data import official_sets, tfds_images

IMAGES = image_copies.small()
GRAY = image_copies.small((28, 28, 1))


class TestFacts:
    def test_the_digest_of_pairs_depends_on_pairs_alone(self):
        split = data.Split(IMAGES.train.reshape(50, -1), IMAGES.train_labels)
        order = np.random.default_rng(5).permutation(50)
        mixed = data.Split(split.features[order], split.labels[order])
        apart = data.Split(split.features[order], split.labels)
        first, second, third = map(official_sets.pairs_sha256, (split, mixed, apart))
        assert first == second != third

    def test_md5_is_that_of_the_file(self, tmp_path):
        folder = image_copies.idx_files(tmp_path / "raw", GRAY)
        split = data.Split(GRAY.train.reshape(50, -1), GRAY.train_labels)
        assert official_sets.mnist_md5(split) == tuple(
            hashlib.md5((folder / f"train-{name}-ubyte").read_bytes()).hexdigest()
            for name in ("images-idx3", "labels-idx1")
        )

    def test_the_order_of_tensorflow_datasets_is_the_published_one(self):
        """Beginning of ``image_order_c10.npy``, which CIFAR-10N publishes."""
        found = tfds_images._stored_order("train", 50_000)
        assert found[:5] == [16399, 1680, 47917, 17307, 27051]
        assert sorted(found) == list(range(50_000))

    def test_every_set_is_complete(self):
        for name, known in official_sets.SETS.items():
            assert known.name == name
            assert all(len(file.sha256) == 64 for file in known.remote)
            assert all(file.num_bytes > 4000 and file.urls for file in known.remote)
            for file in known.remote:
                assert all(url.endswith(file.name) for url in file.urls)
            lengths = {"md5": 32, "sha256": 64}
            for algorithm, checksum in known.checksums.values():
                assert len(checksum) == lengths[algorithm]
            names = known.class_names
            assert names is None or len(set(names)) == 10

    def test_sums_of_cifar100_are_its_published_means(self):
        """Means of the channels in [0, 1], of 1,024 pixels in every image."""
        means = {
            50_000: (0.5070751592371323, 0.48654887331495095, 0.4409178433670343),
            10_000: (0.5088964127604166, 0.48739301317401956, 0.44194221124387256),
        }
        for (count, published), (_, sums) in zip(
            means.items(), official_sets.CIFAR100.expected, strict=True
        ):
            products = np.array(published) * 255 * count * 1024
            np.testing.assert_allclose(sums, products, rtol=0, atol=2e-6)

    def test_official_files_are_below_their_limits(self):
        """Records of CIFAR have a label or two beside each image of 3,072 bytes."""
        assert 60_000 * 3074 < official_sets.CIFAR100.max_bytes < 2**29
        assert 16 + 60_000 * 784 < official_sets.KMNIST.max_bytes < 2**27

    def test_facts_agree_with_tensorflow_datasets(self):
        """Sizes and checksums of its registered downloads."""
        folder = resources.files("tensorflow_datasets") / "url_checksums"
        for known in official_sets.SETS.values():
            text = (folder / f"{known.name}.txt").read_text()
            listed = dict(line.split("\t", 1) for line in text.splitlines())
            for file in known.remote:
                num_bytes, sha256, _ = listed[file.urls[0]].split("\t")
                assert (int(num_bytes), sha256) == (file.num_bytes, file.sha256)
