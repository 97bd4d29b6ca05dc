"""Imports point one way: a file imports only from layers before its own."""

import ast
import functools
import os
import pathlib
import subprocess
import sys

import pytest

import jaxlin

ROOT = pathlib.Path(jaxlin.__file__).parent

# The order of the architecture section in the README, lowest layer first.
LAYERS = [
    {"typing", "check", "diagnosis", "precision", "placement", "processes", "roles"},
    {
        "class_labels",
        "normalization",
        "linear",
        "losses",
        "loss_transforms",
        "conjugates",
        "penalties",
        "metrics",
        "distances",
        "all_pairs",
        "geometry",
        "robustness",
        "exact_programs",
        "separability",
        "best_line",
    },
    {"compensated"},
    {"row_sums", "row_blocks"},
    {"objective"},
    {"proof_terms", "duality", "label_proofs"},
    {"solvers", "features"},
    {"sharding"},
    {"problems"},
    {"fits"},
    {"neighbors"},
    {"intervals"},
    {"files"},
    {"checkpoint"},
    {"selection", "comparison"},
    {"variances"},
    {"decomposition"},
    {"data", "plotting"},
    {"predictions"},
    {"linear_probe", "saving"},
]
# And within the packages that are stacks of their own.
STACKS = {
    "solvers": [
        {"curvature", "lbfgs", "stopping"},
        {"base"},
        {"minibatch", "random_search", "search_state"},
        {"fitted", "search"},
        {"fit_loop"},
        {"certified", "streaming"},
        {"lanes"},
        {"turns"},
    ],
    "neighbors": [
        {"best", "bounds"},
        {"measuring", "passes"},
        {"shadows"},
        {"search"},
        {"voting"},
        {"local_fits"},
    ],
    "decomposition": [{"measured", "reference"}, {"terms"}],
    "selection": [
        {"calibration", "choice", "folds", "resamples", "schedule", "splits"},
        {"held_out"},
        {"training"},
        {"grids"},
        {"plans"},
        {"sweep_run"},
        {"sweep_checkpoint"},
        {"sweep"},
        {"cross_validation"},
        {"nested"},
    ],
}
WITHIN = {  # a layer's own order, where its files use each other
    "check": {"diagnosis"},
    "processes": {"placement", "typing"},
    "normalization": {"class_labels"},
    "precision": {"typing"},
    "placement": {"typing"},
    "roles": {"typing"},
    "linear": {"normalization"},
    "loss_transforms": {"losses"},
    "conjugates": {"losses"},
    "all_pairs": {"distances"},
    "geometry": {"linear"},
    "robustness": {"linear", "metrics"},
    "best_line": {"separability"},
    "separability": {"exact_programs"},
    "duality": {"proof_terms"},
}
# Packages that only the outer layers may import, and only inside functions.
OUTSIDE = {"tensorflow_datasets", "sklearn", "matplotlib", "PIL", "scipy"}
MAY_IMPORT_OUTSIDE = {
    "data",
    "plotting",
    "intervals",
    "comparison",
    "separability",
    "variances",
}


def modules():
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts != ("__init__",):
            yield parts[0], path


@functools.cache
def parsed(path):
    return ast.parse(path.read_text())


def imported_modules(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "absolute imports only"
            yield node.module, node
            yield from ((f"{node.module}.{alias.name}", node) for alias in node.names)


def layer_of(name, layers=LAYERS):
    return next(i for i, layer in enumerate(layers) if name in layer)


def test_every_module_has_a_layer():
    listed = set().union(*LAYERS)
    assert {name for name, _ in modules()} <= listed


def test_imports_point_to_earlier_layers():
    for name, path in modules():
        for imported, _ in imported_modules(parsed(path)):
            first, *rest = imported.split(".")
            assert first not in {"experiments", "tests"}, f"{path} imports {imported}"
            if first != "jaxlin" or not rest or rest[0] == name:
                continue
            if rest[0] in WITHIN.get(name, ()) or rest[0] == "__version__":
                continue
            assert layer_of(rest[0]) < layer_of(name), f"{path} imports {imported}"


@pytest.mark.parametrize("package", STACKS)
def test_so_do_imports_within_a_package(package):
    layers = STACKS[package]
    files = [path for path in (ROOT / package).glob("*.py") if path.stem[0] != "_"]
    assert {path.stem for path in files} == set().union(*layers)
    for path in files:
        for imported, _ in imported_modules(parsed(path)):
            before, _, rest = imported.partition(f"jaxlin.{package}.")
            if before == "" and rest and "." not in rest:
                here, there = (layer_of(name, layers) for name in (path.stem, rest))
                assert there < here, f"{path} imports {imported}"


def test_heavy_packages_are_imported_inside_functions_of_outer_layers():
    for name, path in modules():
        tree = parsed(path)
        at_top = {id(node) for node in tree.body}
        for imported, node in imported_modules(tree):
            if imported.split(".")[0] in OUTSIDE:
                assert name in MAY_IMPORT_OUTSIDE, f"{path} imports {imported}"
                assert id(node) not in at_top, f"{path} imports {imported} at the top"


def test_importing_everything_computes_nothing_and_loads_no_heavy_package():
    names = [
        "jaxlin." + ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for _, path in modules()
    ]
    names = [name.removesuffix(".__init__") for name in names]
    program = (
        f"import sys, {', '.join(names)}\n"
        f"heavy = set(sys.modules) & {OUTSIDE - {'scipy'}}\n"
        "assert not heavy, heavy\n"
    )
    # Whoever computes on import meets a platform that does not exist.
    nowhere = {**os.environ, "JAX_PLATFORMS": "nowhere"}
    subprocess.run([sys.executable, "-c", program], check=True, env=nowhere)
