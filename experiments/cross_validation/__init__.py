"""Which estimate of accuracy can be believed? The lecture's four ideas, measured.

Question. A penalty is chosen and an accuracy reported in four ways: both on the
training examples (1), both on a test set (2), the one on a validation set and the other
on a test set (3), the one by cross-validation and the other on a test set (4). How far
is what each reports from the truth, and how much does each choice vary?

Method. All examples of a data set, training and test, are a population. Again and again
n of them are drawn; what is left tells the truth about every classifier fitted on them.
Of the n a fifth is the test set and a fifth the validation set; folds are made of the
four fifths that are not test. Idea 1 reports about the classifier fitted on all n, the
others about the one fitted on four fifths. All fits of a sample (every l2 on all, on
four fifths, on three, and without each fold) are one certified sweep, with example
weights of 0 and 1. Bias is the mean of what is reported less the truth over samples,
spread its standard deviation.

Result. Digits, 100 samples of 300: the training set that chose reports 5.92 points too
much, 95 % [5.80, 6.04], the test set that chose 2.10 [1.53, 2.67], the validation set
that chose 1.18 [0.52, 1.84]. No bias can be measured of the untouched test set of idea
3, +0.50 [-0.24, 1.24], nor of idea 4, +0.29 [-0.37, 0.95]. Cross-validation's choice of
l2 does not measurably vary less there than that of one validation set, what it reports
does: a spread of 1.70 points against 3.32.

Command. ``python -m experiments.cross_validation`` (CIFAR-10, raw pixels), ``--dataset
digits`` (a minute), ``--smoke``. A run that was stopped continues with ``--resume
FOLDER`` from the sample it was at.

`ideas` says what each idea chooses and reports, `summary` what all samples say.
"""
