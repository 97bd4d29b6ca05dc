"""The lecture on one page: every claim of it, measured.

The lecture: CS 4803 / 7643 Deep Learning, Georgia Tech, fall 2019: Linear Classifiers,
Loss Functions (D. Batra), with slides of CS231n, Stanford (F.-F. Li, J. Johnson, S.
Yeung).

Question. What of "Linear classifiers, loss functions" can be seen to happen?

Method. The experiments of this repository, one a chapter, in the order of the lecture,
at a size for two cores; each leaves a run folder of its own in the folder of the page.
The last chapter says for each of the lecture's forty concepts which function or
experiment it is.

Command. ``python -m experiments.lecture`` (CIFAR-10), ``--dataset digits``,
``--smoke``; ``--chapters hard_cases loss_questions`` for some of them. A page that was
stopped goes on with ``--resume FOLDER``: what the long chapters have measured is kept.

The modules: `config`, `chapters` (what is run, at what size), `concepts` (the forty
rows), `page`.
"""
