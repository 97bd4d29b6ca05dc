r"""What is the optimum? Objective, gap and accuracy of exact linear classifiers.

For each loss and a path of l2, every classifier is fitted to a proven gap on all
training rows: raw pixels (pixel / 255, minus the mean training image), bias penalised.
The table gives the objective, the proven relative gap (rounding included), training and
test accuracy, and the interval that provably holds the test accuracy of the exact
optimum, beside the share of test labels that are proven.

  python -m experiments.certified_optima                     # CIFAR-10, half an hour
  python -m experiments.certified_optima --dataset digits

Fits go on, in float64 where float32 can prove no more, until the share of proven test
labels reaches ``certified_share``, or ``max_evaluations`` are spent; they report what
they reach.
"""

import dataclasses
import time

import jax
import jax.numpy as jnp
import numpy as np

import jaxlin
from experiments.common import cli, pages, run_folder, timing
from experiments.common.config import to_dict
from experiments.common.losses import CERTIFIED
from jaxlin import check, data, normalization, objective
from jaxlin.certificates import duality, label_certificates


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the table.

    Attributes:
      dataset: cifar10, digits, a prepared image set, or an .npz file.
      losses: names of losses in `jaxlin.losses`.
      l2: strengths, fitted from the first to the last with warm starts.
      relative_gap: asked of a first fit; from its margins follows the gap that the
        share needs.
      certified_share: share of test labels to prove.
      max_evaluations: of the first fit, and of what follows.
    """

    dataset: str = "cifar10"
    losses: tuple[str, ...] = tuple(CERTIFIED)
    l2: tuple[float, ...] = (1e-1, 1e-2, 1e-3, 1e-4)
    relative_gap: float = 1e-4
    certified_share: float = 0.95
    max_evaluations: int = 600


SMOKE = Config(
    dataset="digits",
    losses=("softmax_cross_entropy", "crammer_singer_hinge"),
    l2=(1e-1, 1e-2),
    relative_gap=1e-3,
    certified_share=0.5,
    max_evaluations=60,
)
_COLUMNS = (
    "loss",
    "l2",
    "objective",
    "proven relative gap",
    "evaluations",
    "in float64",
    "seconds",
    "train accuracy",
    "test accuracy",
    "test accuracy of the exact optimum",
)


def checked(config: Config) -> Config:
    """Returns the settings, or says which one is wrong."""
    for name in config.losses:
        check.choice("losses", name, tuple(CERTIFIED))
    check.numbers_list("l2", config.l2, above=0)
    check.number("relative_gap", config.relative_gap, above=0)
    check.number("certified_share", config.certified_share, at_least=0, at_most=1)
    check.integer("max_evaluations", config.max_evaluations, at_least=1)
    return config


def fit_path(problem, test, loss, config, callback):
    """Fits of one loss for all l2, each with its proof about the test labels."""
    start = None
    for l2 in config.l2:
        began = time.perf_counter()
        how = {"loss": loss, "l2": l2, "callback": callback}
        stop = jaxlin.Stop(config.relative_gap, config.max_evaluations)
        fitted = jaxlin.fit(problem, stop=stop, start=start, **how)
        # The radius in which the optimum lies goes with the root of the gap.
        wanted = 0.9 * np.quantile(test.radii(fitted), 1 - config.certified_share)
        gap = l2 * max(wanted, 0) ** 2 / 2 / fitted.certificate.primal
        if 0 < gap < fitted.relative_gap:
            stop = jaxlin.Stop(gap, config.max_evaluations)
            more = jaxlin.fit(problem, stop=stop, refine=True, start=fitted, **how)
            fitted = more._replace(passes=fitted.passes + more.passes)
        start = fitted
        yield fitted, time.perf_counter() - began


class Rows:
    """Rows to judge a fit by: their labels, and what is proven of ours."""

    def __init__(self, split, fitted_normalization):
        """Puts the rows on the device."""
        self.features = jnp.asarray(split.features)
        self.labels = np.asarray(split.labels)
        self.normalization = fitted_normalization

    def radii(self, fitted):
        """Distance of each label from changing."""
        # float32 scores would leave more labels open than the optimum's distance does.
        params = jax.tree.map(np.float64, fitted.params)
        return np.asarray(
            label_certificates.label_radii(
                params, self.features, normalization=self.normalization
            )
        )

    def correct(self, fitted):
        """Mask of the right labels."""
        with jax.enable_x64(True):
            scores = _scores(_float64(fitted.params), self.features, self.normalization)
            return np.asarray(jnp.argmax(scores, axis=1)) == self.labels


@jax.jit
def _scores(params, features, fitted):
    return objective.blocked_scores(params, features, normalization=fitted)


def _float64(params):
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), params)


def run(config: Config, options: cli.RunOptions) -> None:
    """Makes one run folder with the table."""
    checked(config)
    clock = timing.Clock()
    with clock.part("data"):
        dataset = data.load(
            config.dataset, str(options.data_dir) if options.data_dir else None
        )
        facts = data.summary(dataset)
    folder = run_folder.open_run(
        config=to_dict(config),
        experiment="certified_optima",
        dataset=config.dataset,
        out=options.out,
        resume=options.resume,
    )
    with folder.running():
        folder.write_json("data.json", facts)
        results = _fit_all(folder, config, dataset, clock)
        folder.write_csv("results.csv", results)
        folder.write_json("results.json", {"optima": results, "timing": clock.total()})
        page = _page(folder.path, config, facts, results)
        folder.write_text("report.html", pages.render(page))
        print(folder.path / "report.html")


def _fit_all(folder, config, dataset, clock):
    with clock.part("preparation"):
        scale = dataset.max_value or 1.0
        fitted = normalization.fit_centered(dataset.train.features, scale=scale)
        problem = jaxlin.problem(
            *dataset.train, classes=range(dataset.num_classes), normalization=fitted
        )
        problem.prepared()
        train = Rows(dataset.train, fitted)
        test = Rows(dataset.test, fitted)
    done = {(row["loss"], row["l2"]): row for row in folder.read_metrics()}
    for name in config.losses:
        if all((name, l2) in done for l2 in config.l2):
            continue
        with clock.part(name):
            for found, seconds in fit_path(
                problem, test, CERTIFIED[name], config, None
            ):
                row = _row(name, found, seconds, train, test)
                if (name, found.l2) not in done:
                    folder.append_metrics(row)
                done[name, found.l2] = row
                print(_line(row))
    return [done[name, l2] for name in config.losses for l2 in config.l2]


def _row(name, fitted, seconds, train, test):
    """One line of the table as plain values."""
    correct = test.correct(fitted)
    bound = duality.radius(fitted.certificate, l2=fitted.l2)
    proven = label_certificates.accuracy_interval(
        jnp.asarray(correct), jnp.asarray(test.radii(fitted) > float(bound))
    )
    return {
        "loss": name,
        "l2": fitted.l2,
        "objective": fitted.certificate.primal,
        "gap": fitted.certificate.gap,
        "rounding": fitted.certificate.rounding,
        "relative_gap": fitted.relative_gap,
        "evaluations": fitted.passes,
        "float64_evaluations": fitted.float64_passes,
        "seconds": seconds,
        "train_accuracy": float(np.mean(train.correct(fitted))),
        "test_accuracy": float(np.mean(correct)),
        "optimum_lower": proven.low,
        "optimum_upper": proven.high,
        "certified_share": proven.certified,
        "optimum": str(proven),
    }


def _cells(row):
    return (
        row["loss"],
        f"{row['l2']:g}",
        f"{row['objective']:.5f}",
        f"{row['relative_gap']:.1e}",
        row["evaluations"],
        row["float64_evaluations"],
        f"{row['seconds']:.1f} s",
        f"{100 * row['train_accuracy']:.2f} %",
        f"{100 * row['test_accuracy']:.2f} %",
        row["optimum"],
    )


def _line(row):
    return "  ".join(map(str, _cells(row)))


def _page(folder, config, facts, results):
    return pages.from_template(
        "certified_optima.html",
        folder=folder,
        dataset=facts["name"],
        config=to_dict(config),
        columns=_COLUMNS,
        rows=[_cells(row) for row in results],
        gaps=[row["relative_gap"] for row in results],
    )


def main() -> None:
    """Parses the command line and runs."""
    run(*cli.parse(Config(), smoke=SMOKE, description=__doc__))


if __name__ == "__main__":
    cli.main(main)
