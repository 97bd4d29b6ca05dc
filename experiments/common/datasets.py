"""Data sets for experiments, which need test examples and dense rows."""

from pathlib import Path

from jaxlin import check, data


def load(name: str, data_dir: Path | None = None) -> data.Dataset:
    """Loads a data set as `jaxlin.data.load` does.

    Raises:
      ValueError: as `jaxlin.data.load`, and if there are no test examples or the rows
        are sparse.
      OSError: if the data set is not on this machine.
    """
    loaded = data.load(name, data_dir)
    if not len(loaded.test.labels):
        raise ValueError(
            f"dataset must have test examples, got none in {name!r}; give a folder "
            "with a train and a test file"
        )
    if check.is_sparse(loaded.train.features):
        raise ValueError(
            f"dataset must have dense rows, got sparse ones in {name!r}; save their "
            ".toarray() with numpy.savez"
        )
    return loaded


def check_images(dataset: data.Dataset) -> None:
    """Raises a ValueError unless the rows are images, grey or with three colours."""
    shape = dataset.image_shape
    if shape is None or not (len(shape) == 2 or shape[2:] in ((1,), (3,))):
        raise ValueError(
            "dataset must hold images, grey or with three colours, got "
            f"{dataset.name} with rows of "
            + ("features" if shape is None else f"shape {shape}")
        )
