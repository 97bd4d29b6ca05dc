"""One trained W, seen three ways: algebra, pictures, hyperplanes; and how to cross one.

Question. The lecture looks at a linear classifier as algebra (W x + b), as one template
a class, and as hyperplanes that cut up space. What does each show of one W that was
really trained? And how far is an image from the nearest hyperplane: what is the
smallest change of its pixels after which the label is another?

Method. A classifier is fitted to a proven gap. Algebra: the worked example of the
slides, and the normalisation folded into W and b, which leaves the scores as they are.
Pictures: the templates, and for single images what each pixel adds to the lead of the
predicted class over the second. Hyperplanes: the plane of the two principal axes of the
training images, cut into exact regions. Perturbations: the radius of every test image
in L1, L2 and Linf, by a formula and, for some images, within the pixel range, so that
accuracy against the size of a perturbation is exact, with no attack that might have
failed.

Result. CIFAR-10: see the README.

Command. ``python -m experiments.viewpoints`` (CIFAR-10, a minute or two), ``--dataset
digits``, ``--smoke``. The run is short: continued with ``--resume FOLDER`` it begins
anew.

The modules: `config`, `measure` (fit, plane, contributions), `radii`, `findings` (in
words), `pictures`, `report`.
"""
