"""Whose error is it: the model's, the sample's, the optimiser's?

Question. The lecture splits the error of a classifier into modelling error (the best
of its class is not perfect), estimation error (the sample chose another one of the
class) and optimisation error (what was trained is not the best on the sample), and sets
AlexNet against multi-class logistic regression. How large are the terms?

Method. Three classes of growing size, none within another: linear on pixels, linear on
whitened patches, a small convolutional network. For each the test error of what was
trained (minibatch SGD, AdamW) is split by `jaxlin.stats.decomposition`, for the
zero-one error and for cross-entropy, with 95 % intervals: the optimum on the sample
comes with a certificate, learning curves and bootstrap refits of a linear class are one
sweep, the reference is the least published error, where one is known. Of a network only
the sum of modelling and estimation is measured, and bounds of either. Its head is also
fitted by the certified solver on frozen features.

Result. Digits, in points of the zero-one error: linear on pixels 2.80 % = modelling
1.19, 95 % [0.00, 3.02], + estimation 1.41 [0.44, 2.38] + optimisation 0.20 [-0.35,
0.75]; linear on patches 1.20 % = 0.73 [0.00, 2.02] + 0.47 [-0.17, 1.12] + 0.00 [-0.39,
0.39]. In cross-entropy the modelling term falls from 0.108 [0.071, 0.145] to 0.030
[0.006, 0.054] nats. A network is worse than either here, 3.56 %, which its own best
head would lower by 0.88 [0.24, 1.52]. All of CIFAR-10: pixels 58.27 %, of which
modelling 56.10 [54.51, 57.70]; patches 24.08 %, of which modelling 19.12 [17.65,
20.59]; networks 20.24 %, of which estimation at least 3.24.

Command. ``python -m experiments.error_decomposition`` (CIFAR-10, hours, because of
twelve networks; ``--classes pixels patches`` leaves them out), ``--dataset digits``,
``--smoke``. A run that was stopped continues with ``--resume FOLDER`` from the class,
the network and the epoch it was at.
"""
