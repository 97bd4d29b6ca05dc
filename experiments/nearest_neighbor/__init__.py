"""What does a memory-based learner reach, and what are its problems? All measured.

Question. The lecture's first classifier memorises the training images and answers with
the labels of the most similar ones. Four things make it: a distance, how many
neighbours, a weighting, how to fit with the local points. Which choice is best, how
good is it on the test set, and how bad are the three problems that the lecture names:
its cost when it answers, irrelevant features, the curse of dimensionality?

Method. Every metric is compared with every k and weighting by cross-validation: one
search a metric finds the neighbours of every row in the other folds, and they give the
answers for all k and weightings. The dearer metrics are compared on a subsample, the
Euclidean one there and on all rows. The test set is then classified by the choice
and by three classifiers that were fixed before (later parts look at it again; nothing
is chosen by them): the lecture's 1-NN by L2 and L1, and a
linear softmax classifier with a proven gap. Local fits are compared on training
examples that are taken out. Time is measured against the number of
training rows, accuracy against the number of noise features, and the relative contrast
(Dmax - Dmin) / Dmin against the dimension.

Command. ``python -m experiments.nearest_neighbor`` (CIFAR-10, raw pixels), ``--dataset
digits`` (seconds), ``--smoke``. A run that was stopped continues with ``--resume
FOLDER``; its finished parts are kept.

Reference. K. Beyer, J. Goldstein, R. Ramakrishnan and U. Shaft. When is "nearest
neighbor" meaningful? ICDT 1999.
"""
