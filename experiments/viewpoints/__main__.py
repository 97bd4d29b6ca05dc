"""Runs the experiment: ``python -m experiments.viewpoints --help``."""

from typing import Any

import numpy as np

import experiments.viewpoints as experiment
import jaxlin
from experiments.common import cli, run_folder, same_data, timing
from experiments.common import report as pages
from experiments.common.config import to_dict
from experiments.viewpoints import findings, measure, pictures, radii, report
from experiments.viewpoints.config import SMOKE, Config, check_fits, checked
from jaxlin import data
from jaxlin.geometry import hyperplanes


def run(config: Config, options: cli.RunOptions) -> pages.Report:
    """Makes one run folder, or does the one to be resumed again; returns its page."""
    checked(config)
    clock = timing.Clock()
    with clock.part("data"):
        dataset = data.load(
            config.dataset, str(options.data_dir) if options.data_dir else None
        )
        check_fits(config, dataset)
        facts = data.summary(dataset)
    folder = run_folder.open_run(
        config=to_dict(config),
        experiment="viewpoints",
        dataset=config.dataset,
        out=options.out,
        resume=options.resume,
    )
    same_data.check(folder, facts)
    with folder.running():
        folder.write_json("data.json", facts)
        with clock.part("fit"):
            trained = measure.trained(config, dataset)
        print(trained.fit)
        with clock.part("plane and pixels"):
            plane = measure.plane(config, dataset, trained)
            images = [
                measure.explained(dataset, trained, number)
                for number in range(config.images)
            ]
        found = {}
        for name in radii.NORMS:
            with clock.part(f"radii in {name}"):
                found[name] = radii.of_norm(config, dataset, trained, name)
        results = _results(config, dataset, trained, plane, found)
        timings = {**clock.total(), "parts": clock.seconds}
        folder.write_json("results.json", {**results, "timing": timings})
        folder.write_npz("per_example.npz", _per_example(dataset, trained, found))
        model = trained.fit._replace(classes=np.array(dataset.class_names))
        jaxlin.save(folder.path / "model.npz", model)
        made = report.Run(
            folder,
            config,
            dataset,
            trained,
            plane,
            images,
            found,
            measure.worked_example(),
            results,
            facts,
        )
        page = report.build(made)
        folder.write_text("report.html", pages.render(page))
        print("\n".join(findings.lines(results)))
    print(folder.path / "report.html")
    return page


def _results(
    config: Config,
    dataset: data.Dataset,
    trained: measure.Trained,
    plane: measure.Plane,
    found: dict[str, radii.Radii],
) -> dict[str, Any]:
    low, high = pictures.limits(plane)
    polygons = hyperplanes.regions(plane.flat, low=low, high=high)
    certificate = trained.fit.certificate
    return {
        "num_classes": dataset.num_classes,
        "fit": {
            "loss": config.loss,
            "l2": config.l2,
            "primal": float(certificate.primal),
            "dual": float(certificate.dual),
            "relative_gap": float(trained.fit.relative_gap),
            "converged": bool(trained.fit.converged),
            "evaluations": int(trained.fit.passes),
        },
        "folding_error": trained.folding_error,
        "plane": {
            "variance": plane.variance,
            "agreement": plane.agreement,
            "classes_with_a_region": sum(len(polygon) > 2 for polygon in polygons),
        },
        "radii": {name: radii.summary(one) for name, one in found.items()},
    }


def _per_example(
    dataset: data.Dataset, trained: measure.Trained, found: dict[str, radii.Radii]
) -> dict[str, np.ndarray]:
    arrays = {
        "label": dataset.test.labels,
        "prediction": trained.scores.argmax(axis=1),
    }
    for name, one in found.items():
        arrays[f"radius_{name}"] = one.free
        arrays[f"radius_{name}_within_range"] = one.boxed
    return arrays


def main() -> None:
    """Parses the command line and runs."""
    run(*cli.parse(Config(), smoke=SMOKE, description=experiment.__doc__))


if __name__ == "__main__":
    cli.main(main)
