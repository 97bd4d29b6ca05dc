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

Result. CIFAR-10, softmax at l2 = 1e-2: test accuracy 41.0 %, and half of the images
that are right get another label by a change of at most 0.99 % of the pixel range in
every pixel. Of the first 1,000 test images the median radii are 5.60 in L1, 0.4310 in
L2 and 0.01020 in Linf without bounds; within the pixel range 6.26, 0.4311 and 0.01022:
the bounds matter in L1 alone. The plane of two axes, which hold 40 % of the variance,
gives 27 % of the images the label that all pixels give them.

Command. ``python -m experiments.viewpoints`` (CIFAR-10, a minute or two), ``--dataset
digits``, ``--smoke`` (digits, under a minute, most of it compiling). A run that was
stopped continues with ``--resume FOLDER``; its finished parts are kept.
"""
