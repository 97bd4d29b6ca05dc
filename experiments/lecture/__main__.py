"""Makes the page: ``python -m experiments.lecture --help``."""

import experiments.lecture as experiment
from experiments.common import cli, open_run
from experiments.lecture import page
from experiments.lecture.chapters import CHAPTERS, make
from experiments.lecture.config import SMOKE, Config, checked


def run(config: Config, options: cli.RunOptions) -> None:
    """Makes one run folder with a folder for each chapter, or completes it."""
    checked(config)
    folder = open_run.open_run(config, experiment="lecture", options=options)
    with folder.running():
        made = []
        for chapter in CHAPTERS:
            if chapter.name not in config.chapters:
                continue
            print(f"\n{chapter.name}: {chapter.question}")
            path = folder.path / chapter.name
            made.append(make(chapter, config, path, options.data_dir))
            # After every chapter: there is a page to look at while the rest is run.
            folder.write_json("results.json", page.summary(made))
            text = page.build(config, made, folder=folder.path)
            folder.write_text("report.html", text)
    print(folder.path / "report.html")


def main() -> None:
    """Parses the command line and runs."""
    run(*cli.parse(Config(), smoke=SMOKE, description=experiment.__doc__))


if __name__ == "__main__":
    cli.main(main)
