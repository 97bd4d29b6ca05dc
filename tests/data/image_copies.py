"""Copies of an image set in every form in which people have it."""

import io
import json
import pickle
import struct
import tarfile
from typing import NamedTuple

import google_crc32c
import numpy as np
import pyarrow
import pyarrow.parquet
from array_record.python import array_record_data_source
from data_makers import encoded

CIFAR10_NAMES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)

CIFAR100_NAMES = tuple(f"thing_{number}" for number in range(100))


class Images(NamedTuple):
    """Images ``(examples, height, width, channels)`` and labels of two splits."""

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray

    def split(self, name):
        return (self.train, self.train_labels) if name == "train" else self[2:]


def small(shape=(32, 32, 3), *, num_classes=10, seed=0):
    """Five training images and two test images of each class, in random order."""
    draw = np.random.default_rng(seed)

    def part(per_class):
        labels = draw.permutation(np.repeat(np.arange(num_classes), per_class))
        pixels = draw.integers(0, 256, (len(labels), *shape), dtype=np.uint8)
        return pixels, labels.astype(np.uint8)

    return Images(*part(5), *part(2))


def planes(images):
    """Rows of red, green and blue planes, by a loop over the channels."""
    return np.concatenate(
        [images[..., channel].reshape(len(images), -1) for channel in range(3)], axis=1
    )


def batches(images):
    """The five training batches of CIFAR-10."""
    size = len(images.train) // 5
    for number in range(5):
        part = slice(number * size, (number + 1) * size)
        yield images.train[part], images.train_labels[part]


def cifar_binary(folder, images):
    """Writes ``cifar-10-batches-bin``."""
    made = folder / "cifar-10-batches-bin"
    made.mkdir(parents=True)
    parts = [*batches(images), images.split("test")]
    names = [f"data_batch_{number}.bin" for number in range(1, 6)]
    for name, (pixels, labels) in zip([*names, "test_batch.bin"], parts, strict=True):
        records = np.concatenate([labels[:, None], planes(pixels)], axis=1)
        (made / name).write_bytes(records.tobytes())
    # The official file ends with an empty line.
    (made / "batches.meta.txt").write_text("\n".join([*CIFAR10_NAMES, "", ""]))
    return made


def cifar_python(folder, images):
    """Writes ``cifar-10-batches-py`` as Python 2 has pickled it."""
    made = folder / "cifar-10-batches-py"
    made.mkdir(parents=True)
    parts = [*batches(images), images.split("test")]
    names = [f"data_batch_{number}" for number in range(1, 6)]
    for name, (pixels, labels) in zip([*names, "test_batch"], parts, strict=True):
        content = {
            "batch_label": f"of {name}",
            "labels": labels.tolist(),
            "data": planes(pixels),
            "filenames": [f"{number}.png" for number in range(len(labels))],
        }
        (made / name).write_bytes(python2_pickle(content))
    names = {"num_cases_per_batch": 1, "label_names": list(CIFAR10_NAMES)}
    (made / "batches.meta").write_bytes(python2_pickle(names))
    return made


def cifar100_binary(folder, images):
    """Writes ``cifar-100-binary``, whose records have a coarse label first."""
    made = folder / "cifar-100-binary"
    made.mkdir(parents=True)
    for split in ("train", "test"):
        pixels, labels = images.split(split)
        columns = [labels[:, None] // 5, labels[:, None], planes(pixels)]
        (made / f"{split}.bin").write_bytes(np.hstack(columns).tobytes())
    (made / "fine_label_names.txt").write_text("\n".join(CIFAR100_NAMES))
    (made / "coarse_label_names.txt").write_text("things")
    return made


def cifar100_python(folder, images):
    """Writes ``cifar-100-python`` as Python 2 has pickled it."""
    made = folder / "cifar-100-python"
    made.mkdir(parents=True)
    for split in ("train", "test"):
        pixels, labels = images.split(split)
        content = {
            "coarse_labels": (labels // 5).tolist(),
            "fine_labels": labels.tolist(),
            "data": planes(pixels),
        }
        (made / split).write_bytes(python2_pickle(content))
    names = {"coarse_label_names": ["things"], "fine_label_names": list(CIFAR100_NAMES)}
    (made / "meta").write_bytes(python2_pickle(names))
    return made


def python2_pickle(value):
    """Pickle of protocol 2 with the byte strings and the names of Python 2."""
    return b"\x80\x02" + _python2(value) + b"."


def _python2(value):
    if isinstance(value, dict):
        items = b"".join(_python2(key) + _python2(one) for key, one in value.items())
        return b"}(" + items + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(map(_python2, value)) + b"e"
    if isinstance(value, tuple):
        return b"(" + b"".join(map(_python2, value)) + b"t"
    if isinstance(value, str):
        return _python2(value.encode())
    if isinstance(value, bytes):
        return b"T" + struct.pack("<i", len(value)) + value
    if isinstance(value, bool):
        return b"\x88" if value else b"\x89"
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if value is None:
        return b"N"
    kind = value.dtype.str[1:]
    order = value.dtype.str[0]
    dtype = b"cnumpy\ndtype\n" + _python2((kind, 0, 1)) + b"R"
    dtype += _python2((3, order, None, None, None, -1, -1, 0)) + b"b"
    made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n"
    made += _python2((0,)) + _python2("b") + b"tR"
    state = _python2(1) + _python2(value.shape) + dtype + _python2(False)
    return made + b"(" + state + _python2(value.tobytes()) + b"tb"


def archive(folder, path):
    """Packs a folder; the official archives have their members in no order either."""
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        for file in sorted(folder.iterdir(), reverse=True):
            tar.add(file, f"{folder.name}/{file.name}")
    return path


def hub_parquet(
    folder, images, *, column="img", label="label", order=None, png=encoded
):
    """Writes the files of the Hugging Face hub, with its description of the labels."""
    folder.mkdir(parents=True)
    names = CIFAR10_NAMES if images.train_labels.max() < 10 else CIFAR100_NAMES
    info = {"features": {label: {"names": list(names), "_type": "ClassLabel"}}}
    metadata = {"huggingface": json.dumps({"info": info})}
    for split in ("train", "test"):
        pixels, labels = images.split(split)
        if split == "train" and order is not None:
            pixels, labels = pixels[order], labels[order]
        cells = [{"bytes": png(one), "path": None} for one in pixels]
        columns = {column: cells, label: labels.astype(np.int64)}
        if label == "fine_label":
            columns["coarse_label"] = columns[label] // 5
        pyarrow.parquet.write_table(
            pyarrow.table(columns).replace_schema_metadata(metadata),
            folder / f"{split}-00000-of-00001.parquet",
        )
    return folder


def idx_files(folder, images, *, pack=lambda content: content, suffix=""):
    """Writes the four files of MNIST."""
    folder.mkdir(parents=True)
    for split, name in (("train", "train"), ("test", "t10k")):
        pixels, labels = images.split(split)
        shape = struct.pack(">3I", *pixels.shape[:3])
        (folder / f"{name}-images-idx3-ubyte{suffix}").write_bytes(
            pack(b"\0\0\x08\x03" + shape + pixels.tobytes())
        )
        (folder / f"{name}-labels-idx1-ubyte{suffix}").write_bytes(
            pack(b"\0\0\x08\x01" + struct.pack(">I", len(labels)) + labels.tobytes())
        )
    return folder


def as_tfrecord(version, made):
    """Copies a version prepared as array_record, its records in tfrecord files."""
    made.mkdir(parents=True)
    info = json.loads((version / "dataset_info.json").read_text())
    info["fileFormat"] = "tfrecord"
    (made / "dataset_info.json").write_text(json.dumps(info))
    for path in version.iterdir():
        if "array_record" in path.name:
            source = array_record_data_source.ArrayRecordDataSource(str(path))
            records = source.__getitems__(list(range(len(source))))
            name = path.name.replace("array_record", "tfrecord")
            (made / name).write_bytes(b"".join(map(tfrecord, records)))
        elif path.name != "dataset_info.json":
            (made / path.name).write_bytes(path.read_bytes())
    return made


def tfrecord(content, crc=google_crc32c.value):
    """Returns a record as TensorFlow frames it."""

    def masked(part):
        value = crc(part)
        rotated = (value >> 15) | (value % 2**15 << 17)
        return struct.pack("<I", (rotated + 0xA282EAD8) % 2**32)

    length = struct.pack("<Q", len(content))
    return length + masked(length) + content + masked(content)


def tfds_rows(images, split, *, with_ids=True, png=encoded):
    """Examples of a split as a builder of tensorflow-datasets makes them."""
    for index, (pixels, label) in enumerate(zip(*images.split(split), strict=True)):
        row = {"image": png(pixels), "label": int(label)}
        yield {"id": f"{split}_{index:05d}", **row} if with_ids else row


def python3_pickle(value, protocol):
    """Pickle of this Python."""
    out = io.BytesIO()
    pickle.dump(value, out, protocol=protocol)
    return out.getvalue()
