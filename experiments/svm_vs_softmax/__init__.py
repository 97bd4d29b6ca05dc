"""Multiclass SVM against softmax: which linear classifier is better, and is it sure?

Question. The lecture ends on "softmax vs. SVM". On the same data and the same splits,
each loss tuned and chosen by validation alone: what accuracy does each reach, does the
difference survive a paired test, and how much of it is the optimiser's?

Protocol. A stratified part of the training set is held out. Each loss is fitted over a
path of l2, every fit to a proven gap; the l2 that validates best is fitted again on all
training examples, in float64 where float32 can prove no more; the test set is read
once, after that. Minibatch SGD is measured against that optimum
(`experiments.svm_vs_softmax.certified`).

With ``--solver minibatch`` each loss trains a grid of (l2, learning rate) for several
seeds by SGD instead, as one compiled program; the page then shows learning curves and
the spread over seeds. Certified is the default because it is the faster of the two (on
CIFAR-10 3 min 4 s, the SGD that it measures included, against 3 min 54 s), reaches the
same accuracies, leaves nothing to learning rates or seeds, and proves what it says.

Result. CIFAR-10, raw pixels, 10,000 test images: softmax 41.61 %, SVM 39.85 %; paired
difference +1.76 points, 95 % [1.17, 2.34], McNemar p = 3.8e-9. The exact optimum has
between 41.61 % and 41.68 %, and between 39.29 % and 41.90 %. Digits (500 test images)
do not tell them apart. ``docs/results.md`` says what was seen before the grids were
set.

Command. ``python -m experiments.svm_vs_softmax`` (CIFAR-10, three minutes on two
cores), with ``--dataset digits`` for half a minute and no download.

The modules, in the order of a run: `config` (what may be asked for), `start` and
`protocol` (data, split, grids, choice, refit), `training` (one stage: chunks, metrics,
checkpoint), `verdict` (the test set, intervals, comparison), `report` (the page), with
`sections` and `pictures` that both solvers have.
"""
