"""Multiclass SVM against softmax: which linear classifier is better, and is it sure?

Question. The lecture ends on "softmax vs. SVM". On the same data and the same splits,
each loss tuned and chosen by validation alone: what accuracy does each reach, does the
difference survive a paired test, and how much of it is the optimiser's?

Method. A stratified part of the training set is held out. Each loss is fitted over a
path of l2, every fit to a proven gap; the l2 that validates best is fitted again on all
training examples. The test set is read once, after that. The proven gap bounds the test
accuracy of the exact optimum, and measures how far minibatch SGD stays from it.

Result. CIFAR-10, raw pixels, 10,000 test images: softmax 41.61 %, SVM 39.85 %; paired
difference +1.76 points, 95 % [1.19, 2.34], McNemar p = 3.8e-9. Digits (500 test images)
do not tell them apart. ``docs/results.md`` tells which results were known before the
grids were set.

Command. ``python -m experiments.svm_vs_softmax`` (CIFAR-10), ``--dataset digits``
(half a minute, no download), ``--smoke``. ``--polished-gap 1e-9`` proves more of the
exact optimum. ``experiments.train_sgd`` compares the two losses by SGD alone.

`protocol` is shared with ``experiments.train_sgd``: losses, split, optimiser.
"""
