"""Runs the experiment: ``python -m experiments.loss_questions --help``."""

import experiments.loss_questions as experiment
from experiments.common import cli, run_folder
from experiments.common import report as pages
from experiments.common.config import to_dict
from experiments.loss_questions import answers, likelihood, minimisers, report, slips
from experiments.loss_questions.config import SMOKE, Config, checked


def run(config: Config, options: cli.RunOptions) -> pages.Report:
    """Makes one run folder, or does the one to be resumed again; returns its page."""
    checked(config)
    folder = run_folder.open_run(
        config=to_dict(config),
        experiment="loss_questions",
        dataset="slides",
        out=options.out,
        resume=options.resume,
    )
    with folder.running():
        svm = [*answers.of_svm(), *minimisers.of_fits(config)]
        softmax, errors = likelihood.of_softmax(), slips.of_slides()
        rows = [*svm, *softmax]
        folder.write_json(
            "results.json",
            {
                "answers": {one.key: one.numbers for one in rows},
                "slips": [one.value for one in errors],
            },
        )
        folder.write_csv(
            "results.csv",
            [
                {
                    "question": one.question,
                    "answer": one.answer,
                    "numbers": one.shown,
                    "from": one.source.replace("`", ""),
                }
                for one in rows
            ],
        )
        page = report.build(report.Run(folder, config, svm, softmax, errors))
        folder.write_text("report.html", pages.render(page))
        for one in rows:
            print(f"{one.question}\n  {one.shown}")
    print(folder.path / "report.html")
    return page


def main() -> None:
    """Parses the command line and runs."""
    run(*cli.parse(Config(), smoke=SMOKE, description=experiment.__doc__))


if __name__ == "__main__":
    cli.main(main)
