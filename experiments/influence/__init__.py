"""Which training examples decide: leave-one-out, influence, mislabelled examples.

Question. How well does a classifier predict each training example when it is fitted
without it, beside five folds and the test set, and at what cost? Which training images
help and harm the test images of a class most? How well does a first-order influence
predict a refit without many examples? Does leave-one-out find wrong labels that the
training loss does not show?

Method. Softmax on raw pixels along a path of l2, each fit to a proven gap. Leave-one-
out is `jaxlin.leave_one_out`: with bounds on digits, approximate on CIFAR-10, and
compared with certified refits of some examples. Influences on the mean loss of the test
images of a class are one linear system. Groups of digits of one class are left out and
fitted anew. A share of the digits gets another label, and all are ranked by training
loss, leave-one-out loss and the difference.

Result. RESULT

Command. ``python -m experiments.influence`` (CIFAR-10 and digits, a few minutes),
``--dataset digits``, ``--smoke``. A run that was stopped continues with ``--resume
FOLDER``; its finished parts are kept.
"""
