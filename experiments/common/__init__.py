"""What every experiment uses, written once.

  cli, config, losses,       the command line, names of losses, what it shows
  progress
  files, environment,        a run folder: whole files, facts of the machine, status,
  run_folder, same_data      metrics, resuming with the same data
  report, record             one builder of self-contained HTML reports; small print
  slides                     numbers of the lecture's slides

An experiment reads, in outline:

  def run(config: Config, options: cli.RunOptions) -> None:
      folder = run_folder.open_run(
          config=to_dict(config), experiment="svm_vs_softmax", dataset=config.dataset,
          out=options.out, resume=options.resume,
      )
      with folder.running():
          ...
          folder.write_json("results.json", results)
          page = folder.write_text("report.html", report.render(built))
      print(page)

  if __name__ == "__main__":
      cli.main(lambda: run(*cli.parse(Config, smoke=SMOKE, description=__doc__)))
"""
