"""Runs the benchmark: ``python -m experiments.benchmark_solvers --help``."""

import experiments.benchmark_solvers as experiment
from experiments.benchmark_solvers import figures, measure
from experiments.benchmark_solvers.config import SMOKE, Config, settle
from experiments.common import study

STUDY = study.Study(
    name="benchmark_solvers",
    about=experiment.__doc__,
    config=Config(),
    presets={"smoke": SMOKE},
    parts=measure.parts,
    rows=measure.rows,
    headlines=measure.headlines,
    figures=figures.drawn,
    settle=settle,
)

if __name__ == "__main__":
    study.main(STUDY)
