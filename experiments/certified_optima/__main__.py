"""Runs the experiment: ``python -m experiments.certified_optima --help``."""

import experiments.certified_optima as experiment
from experiments.certified_optima import figures, measure
from experiments.certified_optima.config import SMOKE, Config
from experiments.common import study

STUDY = study.Study(
    name="certified_optima",
    about=experiment.__doc__,
    config=Config(),
    presets={"smoke": SMOKE},
    parts=measure.parts,
    rows=measure.rows,
    headlines=measure.headlines,
    figures=figures.drawn,
)

if __name__ == "__main__":
    study.main(STUDY)
