"""Shared modules of the experiments.

An experiment is a `study.Study`; docs/contributing.md has an outline of one.

  study                      an experiment as a config, parts, figures and a template
  measurements               an experiment of one file: rows and a table of text
  pages, text, templates/    HTML pages of Jinja2 templates; numbers as they show them
  cli, config, losses,       the command line, bounds of a config, names of losses,
  progress                   progress
  files, environment,        a run folder: whole files, facts of the machine, status,
  run_folder, open_run       resuming with the same config and data
  interrupts, timing         Ctrl-C between two parts; seconds compiling and running
  paired                     two classifiers on the same examples, with a verdict
  slides                     numbers of the lecture's slides
"""
