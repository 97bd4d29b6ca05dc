r"""Which optimum do exact linear classifiers have: objective, gap and accuracy?

Question. For each loss and a path of l2: how low is the objective, how well does the
optimum itself classify the test set, and what of that is proven?

Method. Every classifier is fitted to a proven gap on all training rows: raw pixels
(pixel / 255, minus the mean training image), bias penalised. The table gives the
objective, the proven relative gap (rounding included), training and test accuracy, and
the interval that provably holds the test accuracy of the exact optimum, beside the
share of test labels that are proven. Fits go on, in float64 where float32 can prove no
more, until the share of proven test labels reaches ``certified_share``, or
``max_passes`` are spent; they report what they reach.

Command. ``python -m experiments.certified_optima``: CIFAR-10, half an hour;
``--dataset digits`` for another data set. ``docs/results.md`` has its tables.
"""
