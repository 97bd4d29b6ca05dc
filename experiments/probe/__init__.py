"""How good are these features? A linear probe, every model of it certified.

Question. What accuracy does a linear classifier reach on frozen features, with its
strength of penalty chosen honestly?

Method. A tenth of the training examples (or each of k folds in turn, or validation
examples of the file) is held out. Features are standardised without them, and a
classifier is fitted for each of DINOv2's 45 values of scikit-learn's C, all in one
sweep, each with its duality gap. C multiplies the sum of the losses of the examples of
a fit. The best is fitted on all training examples to a proven gap and tested once; a
temperature from the examples held out makes its scores probabilities. The only example
of a class is never drawn; of a single C nothing need be held out. ``--protocol dinov2``
(``dinov3``, ``clip``) reproduces a published evaluation instead, prints how to cite it,
and says what is not to the letter.

Features. FEATURES is a .npz file, or a folder of .npy files that are mapped, with
x_train, y_train, x_test, y_test (labels are text, or 0, 1, 2, ...) and optionally x_val
and y_val, weights_train, groups_train, class_names; or the name of a data set, such as
cifar10 or digits; or ``random``, small features made from the seed. float16 and
bfloat16 rows stay so. With ``--answers K`` labels may be any integers or strings: the K
most frequent are the classes, and what lies outside them is counted, in training as
left out and in the test as wrong. ``--join image question`` puts image_train and
question_train side by side (and so for the other splits), as visual question answering
does.

Beside it. ``--compare OTHER`` probes other features of the same test examples alike and
compares the two, example by example. ``--num-shots 1 5`` also probes draws of so many
training examples per class, with C from x_val or a single C.

Result. report.html, results.json, results.csv (one line a value of C), and in ``parts``
probe-model.npz for `jaxlin.load` and probe.npz with labels and calibrated probabilities
of the test examples; likewise compare-model.npz, and the draws in shots-K.npz. ``kill
-9`` it and go on with ``--resume FOLDER``.

Command. ``python -m experiments.probe FEATURES.npz``; ``--smoke`` to see a page in
seconds.
"""
