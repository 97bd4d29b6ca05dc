"""A run made of parts, each kept in a file of its own as soon as it is measured."""

from collections.abc import Callable, Mapping
from typing import Any

from experiments.common import cli, report, run_folder
from experiments.common.config import to_dict
from jaxlin import data

# Of the config and the data set; returns what JSON can hold.
Part = Callable[[Any, data.Dataset], Any]


def run(
    config: Any,
    options: cli.RunOptions,
    *,
    experiment: str,
    parts: Mapping[str, Part],
    build: Callable[[Any, dict[str, Any]], report.Report],
) -> None:
    """Makes one run folder, or completes the one to be resumed.

    Args:
      config: checked; with ``dataset``, and ``what`` to measure.
      options: where the run lies.
      experiment: its name.
      parts: by name, in the order in which they are measured.
      build: the page of a config and of the results by name of the part, made again
        after each part.
    """
    dataset = data.load(
        config.dataset, str(options.data_dir) if options.data_dir else None
    )
    folder = run_folder.open_run(
        config=to_dict(config),
        experiment=experiment,
        dataset=config.dataset,
        out=options.out,
        resume=options.resume,
    )
    with folder.running():
        folder.write_json("data.json", data.summary(dataset))
        results: dict[str, Any] = {}
        for name, part in parts.items():
            if name not in config.what:
                continue
            file = f"{name}.json"
            if not (folder.path / file).exists():
                folder.write_json(file, part(config, dataset))
            results[name] = folder.read_json(file)
            folder.write_json("results.json", results)
            page = build(config, results)
            folder.write_text("report.html", report.render(page))
        print(folder.path / "report.html")
