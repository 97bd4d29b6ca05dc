"""Every question that the lecture asks about its losses, answered with numbers.

The lecture: CS 4803 / 7643 Deep Learning, Georgia Tech, fall 2019: Linear Classifiers,
Loss Functions (D. Batra), with slides of CS231n, Stanford (F.-F. Li, J. Johnson, S.
Yeung).

Question. What happens to the loss if a score changes a bit (Q1)? What are its least and
greatest value (Q2)? What is it at the start (Q3)? What if the sum took in the right
class (Q4), were a mean (Q5), were of squares (Q6)? Is W unique (Q7)? The same of
softmax, its three names (likelihood, cross-entropy, divergence), and the two losses
side by side.

Method. The functions of `jaxlin.losses` on the lecture's three images and three
classes, in float64; minimisers come from certified fits, and two of them are called
different only if their distance exceeds what both proofs leave open. Where a slide
prints something else, the page says so.

Result. report.html: one table of questions, answers and numbers, one of slips, and the
pictures: a score that moves, its gradient, the path from Crammer-Singer to softmax by
temperature, weights scaled up where the loss is 0 and where it is not.

Command. ``python -m experiments.loss_questions`` (half a minute); ``--smoke``. A run
that was stopped continues with ``--resume FOLDER``; its finished parts are kept.
"""
