"""What can no linear classifier do? The lecture's three hard cases, with proofs.

Question. The lecture shows three problems that are hard for a linear classifier: first
and third quadrant against second and fourth; a ring against the rest; three modes
against the rest. Is no line good enough, or was a good one only not found? How good is
the best line, and how near do the surrogates come to it? What mends each case?

Method. Points are drawn of each case. That no line separates them is proven by a few
points of both classes whose convex hulls meet, checked in exact rational arithmetic.
The best line by the zero-one loss is found by turning a line about every point. The SVM
and the softmax classifier are fitted with a duality gap, so that what they reach is
what their losses ask for, not what an optimiser left over. Then one feature is added
(three bumps for the three modes), and everything is done again: now a plane that
separates is the proof. Two separable cases go through the same for comparison.

Result. At 400 points, noise 0 and a gap of 0.3 the best lines get 74.8 % (quadrants),
60.2 % (ring) and 66.2 % (modes) of the points right. The exact optimum of the SVM gets
73.5, 44.5 and 49.5 %, that of softmax 57.5, 52.25 to 52.75 and 56.5 to 56.75 %, which
is proven: surrogates do not count errors. (On ring and modes the weights are nearly 0,
so that the SVM hardly cares where its line is, and one label for all points, 50 %, is
better.) With the feature added every point is right, for both losses.

Command. ``python -m experiments.hard_cases`` (about a minute, most of it compiling);
``--noise 0.2`` lets the classes touch; ``--smoke`` to see a page in under a minute. A
run that was stopped continues with ``--resume FOLDER``; its finished cases are kept.
"""
