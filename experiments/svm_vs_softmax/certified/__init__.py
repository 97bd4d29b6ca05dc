"""The comparison with certified solvers: both losses as near the optimum as is proven.

Each loss is fitted over a path of l2 on the training split, every fit to a proven
relative gap; the l2 that validates best is fitted again on all training examples and
polished in float64; the test set is read once, after that. Fits are full-batch and
deterministic, so there are no seeds. What is proven of the parameters bounds the test
accuracy of the exact optimum, and measures how far minibatch SGD stays from it.

The modules, in the order of a run: `fits` (path, choice, polished refit), `distance`
(SGD measured by the certificate), `verdict` (the test set), `pictures`, `report`; `run`
calls them.
"""
