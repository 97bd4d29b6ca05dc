"""Multiclass SVM against softmax: which linear classifier is better, and is it sure?

Question. The lecture ends on "softmax vs. SVM". On the same data, the same splits and
the same minibatches, each loss tuned over as many settings and chosen by validation
alone: what accuracy does each reach, and does the difference survive a paired test?

Protocol. A stratified part of the training set is held out. Each loss trains its whole
grid of (l2, learning rate) for all seeds as one compiled program; the setting with the
best mean validation accuracy is trained again on all training examples; the test set is
read once, after that. The comparison is of the first seed's models, fixed beforehand.

Command. ``python -m experiments.svm_vs_softmax`` (CIFAR-10), with ``--dataset digits``
for a run without download. The README has the measured results.

The modules, in the order of a run: `config` (what may be asked for), `protocol` (data,
split, grids, choice, refit), `training` (one stage: chunks, metrics, checkpoint),
`verdict` (the test set, intervals, comparison), `report` (the page).
"""
