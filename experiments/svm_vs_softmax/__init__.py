"""Multiclass SVM against softmax: which linear classifier is better, and is it sure?

Question. The lecture ends on "softmax vs. SVM". On the same data, the same splits and
the same minibatches, each loss tuned over as many settings and chosen by validation
alone: what accuracy does each reach, and does the difference survive a paired test?

Protocol. A stratified part of the training set is held out. Each loss trains its whole
grid of (l2, learning rate) for all seeds as one compiled program; the setting with the
best mean validation accuracy is trained again on all training examples; the test set is
read once, after that. The comparison is of the first seed's models, fixed beforehand.

Result. CIFAR-10, raw pixels, 10,000 test images, 3 seeds: softmax 41.54 % (spread over
seeds 0.01), SVM 39.78 % (0.09); paired difference of the first seed +1.72 points, 95 %
[1.13, 2.32], McNemar p = 1.3e-8. Digits (500 test images) do not tell them apart.
The README says what was seen before the default grids were set.

Command. ``python -m experiments.svm_vs_softmax`` (CIFAR-10, four minutes on two cores),
with ``--dataset digits`` for half a minute and no download.

With ``--solver certified`` both losses are fitted to a proven optimum instead, which
leaves nothing to training; the report then bounds the test accuracy of the exact
optimum, and shows how far SGD stays from it (`experiments.svm_vs_softmax.certified`).

The modules, in the order of a run: `config` (what may be asked for), `start` and
`protocol` (data, split, grids, choice, refit), `training` (one stage: chunks, metrics,
checkpoint), `verdict` (the test set, intervals, comparison), `report` (the page), with
`sections` and `pictures` that both solvers have.
"""
