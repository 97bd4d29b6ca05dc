"""Chapters of the library and their modules, in the order of imports.

A module imports only from chapters before its own and from modules before it in its
chapter. The list is the only one: `jaxlin` and the folders load their modules by it,
the documentation prints it, and a test compares every import with it.

  >>> from jaxlin import chapters
  >>> chapters.CHAPTERS["io"].modules
  ('files', 'checkpoint')
  >>> print(chapters.table().splitlines()[0])
  typing         protocols of losses, distances, penalties; short names of types
"""

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple


class Chapter(NamedTuple):
    """A folder or a file of the package.

    Attributes:
      text: contents, in a line.
      modules: modules of a folder, each importing only from those before it; empty for
        a file.
      is_room: whether the chapter is an attribute of `jaxlin`.
    """

    text: str
    modules: tuple[str, ...] = ()
    is_room: bool = False


CHAPTERS = {
    "typing": Chapter(
        "protocols of losses, distances, penalties; short names of types"
    ),
    "chapters": Chapter("this list"),
    "check": Chapter(
        "checks of data and settings, where they enter",
        ("diagnosis", "arguments", "foreign", "arrays", "sparse", "targets"),
    ),
    "numerics": Chapter(
        "compensated sums, full-precision products, devices, processes",
        (
            "compensated",
            "precision",
            "device_mesh",
            "compilation",
            "processes",
            "row_arrays",
        ),
    ),
    "class_labels": Chapter("names of classes and their codes"),
    "normalization": Chapter(
        "centering and scaling of rows",
        ("affine", "moments", "unit_length", "fitting", "rounding"),
        is_room=True,
    ),
    "linear": Chapter("parameters and scores of a linear classifier", is_room=True),
    "losses": Chapter(
        "losses of one example, their transforms and conjugates",
        ("label_losses", "transforms", "dual_domains", "conjugates"),
        is_room=True,
    ),
    "objective": Chapter(
        "mean loss plus penalty, in passes over blocks of rows",
        (
            "penalties",
            "part_sums",
            "block_sizes",
            "score_hessian",
            "row_products",
            "row_sums",
            "row_norms",
            "row_blocks",
            "batches",
            "regularized",
        ),
        is_room=True,
    ),
    "certificates": Chapter(
        "duality gap, Fenchel-Young terms, certified labels",
        (
            "certificate_checks",
            "fenchel_young",
            "bias_search",
            "bias_bounds",
            "duality",
            "certification",
            "label_certificates",
        ),
        is_room=True,
    ),
    "stats": Chapter(
        "metrics, intervals, paired comparison, error decomposition",
        (
            "metrics",
            "intervals",
            "bootstrap",
            "comparison",
            "estimates",
            "multilabel",
            "variance_components",
            "decomposition.measured",
            "decomposition.reference",
            "decomposition.terms",
            "decomposition",
        ),
        is_room=True,
    ),
    "geometry": Chapter(
        "hyperplanes, robustness, separability, lines in the plane",
        ("hyperplanes", "robustness", "rational_simplex", "separability", "best_line"),
        is_room=True,
    ),
    "features": Chapter(
        "features of images: learned patches, a small network",
        ("encodings", "spherical", "image_patches", "patches", "convolutional"),
        is_room=True,
    ),
    "solvers": Chapter(
        "solvers and their loop: certified, minibatch, random search",
        (
            "stopping",
            "class_hessian",
            "preconditioner",
            "lbfgs",
            "interface",
            "minibatch",
            "random_search",
            "optimizer_state",
            "fitted",
            "line_search",
            "optimizer",
            "regularization_path",
            "fit_checks",
            "fit_loop",
            "full_batch",
            "certified",
            "full_hessian",
            "conjugate_gradients",
            "score_gradients",
            "hessian_system",
            "optimum_derivatives",
            "derivative_bounds",
            "interior_system",
            "interior_point",
            "newton",
            "active_rows",
            "semismooth_newton",
            "float64_methods",
            "streaming",
            "model_batch",
            "batch_pass",
            "batch_step",
            "device_loop",
        ),
        is_room=True,
    ),
    "neighbors": Chapter(
        "distances, exact search of nearest neighbours, votes, local fits",
        (
            "callbacks",
            "distances",
            "integer_distances",
            "pairwise",
            "top_k",
            "bounds",
            "rerank",
            "scan",
            "projections",
            "search",
            "voting",
            "local_fits",
        ),
        is_room=True,
    ),
    "sharding": Chapter("rows spread over devices", is_room=True),
    "problems": Chapter(
        "examples, checked once: `jaxlin.problem`",
        (
            "device_rows",
            "weight_checks",
            "checked",
            "target_sets",
            "construction",
            "first_iterate",
            "fit_methods",
            "fit_hessian",
            "fit_derivatives",
            "differentiable_fit",
        ),
    ),
    "fits": Chapter("certified fits: `jaxlin.fit`, `jaxlin.certify`"),
    "io": Chapter("atomic files and checkpoints", ("files", "checkpoint")),
    "selection": Chapter(
        "splits, folds, sweeps, cross-validation, rules of choice, calibration",
        (
            "splits",
            "group_folds",
            "splitter_folds",
            "fold_weights",
            "folds",
            "held_out",
            "resampling",
            "grids",
            "plans",
            "schedule",
            "sweep_run",
            "sweep_facts",
            "sweep_checkpoint",
            "parts",
            "sweep_result",
            "refinement",
            "sweep",
            "training_result",
            "training",
            "rules",
            "held_out_metrics",
            "cross_validation",
            "nested",
            "calibration",
        ),
        is_room=True,
    ),
    "predictions": Chapter("labels, scores and probabilities of a fit"),
    "evaluation": Chapter("metrics of a fit on test examples: `jaxlin.evaluate`"),
    "sensitivity": Chapter(
        "leave-one-out, influence of examples, covariance of a fit",
        (
            "removal_systems",
            "left_out",
            "kronecker",
            "refits",
            "sampling_checks",
            "leave_one_out",
            "support",
            "linear_functions",
            "estimate_table",
            "function_covariance",
            "influence",
            "covariance_result",
            "covariance",
            "bootstrap_result",
            "fit_bootstrap",
        ),
        is_room=True,
    ),
    "linear_probe": Chapter(
        "choose, refit, test once: `jaxlin.probe`",
        (
            "class_weights",
            "examples",
            "l2_choice",
            "calibrated_fit",
            "selected_fit",
            "result",
            "probing",
            "few_shots",
            "paired",
            "multilabel_choice",
            "multilabel_result",
            "multilabel",
        ),
        is_room=True,
    ),
    "saving": Chapter("a fit in one file: `jaxlin.save`, `jaxlin.load`"),
    "sklearn": Chapter(
        "estimators for scikit-learn",
        (
            "arguments",
            "certified_classifier",
            "linear_classifier",
            "probe_classifier",
        ),
        is_room=True,
    ),
    "data": Chapter(
        "data sets as checked NumPy arrays",
        (
            "staging",
            "progress",
            "array_files",
            "dataset",
            "summaries",
            "digits",
            "npz",
            "embeddings",
            "toy",
            "encoded_images",
            "tables",
            "csv_text",
            "svmlight",
            "parquet",
            "readers",
            "array_pickles",
            "bounded_files",
            "cifar_files",
            "idx_files",
            "tfrecords",
            "tfds_folders",
            "tfds_images",
            "downloads",
            "official_sets",
            "image_sets",
            "cache",
        ),
        is_room=True,
    ),
    "plotting": Chapter(
        "figures on given axes",
        ("axes", "curves", "heat_maps", "images", "regions"),
        is_room=True,
    ),
}


def table() -> str:
    """Name and contents of each chapter, one per line."""
    width = max(map(len, CHAPTERS)) + 2
    return "\n".join(
        f"{name:<{width}}{chapter.text}" for name, chapter in CHAPTERS.items()
    )


def modules(package: str) -> list[str]:
    """Names of the modules in the folder of a chapter, such as ``jaxlin.stats``."""
    return [name for name in _chapter(package).modules if "." not in name]


def loader(package: str) -> Callable[[str], Any]:
    """``__getattr__`` of a folder, by which its modules load at first use."""
    names = modules(package)

    def load(name: str) -> Any:
        if name in names:
            return importlib.import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return load


def _chapter(package: str) -> Chapter:
    return CHAPTERS[package.removeprefix("jaxlin.")]
