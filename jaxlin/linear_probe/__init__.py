"""Linear probe: test accuracy of a linear classifier on frozen features.

How good is a representation? Fit a linear classifier on frozen features for many values
of l2, choose l2 on held-out examples, refit on all training examples, test once::

    import jax, jaxlin
    from jaxlin.objective import penalties
    key = jax.random.key(0)
    features = jax.random.normal(key, (600, 8))
    labels = (features[:, 0] + 0.3 * features[:, 1] > 0).astype(int)
    found = jaxlin.probe(
        key, features[:400], labels[:400], features[400:], labels[400:],
        l2s=penalties.l2_of_c((0.01, 1, 100), total_weight=400, num_classes=2))
    print(found.accuracy, found.interval, found.fit.l2, found.fit.converged)
    jaxlin.predict(found.fit, features[:3])

The default grid is that of DINOv2's protocol: 45 values of scikit-learn's C from 1e-6
to 1e5 on all training examples, compared on a tenth of them (Oquab et al., DINOv2:
Learning robust visual features without supervision, 2023). Models are compared at the
l2 of the final fit on all training examples, although they are fitted on the examples
that are not held out; scikit-learn's model on those examples at the same C has an l2
that is larger by the held-out share. Features are standardised by the training examples
unless a normalization is given. A class with a single training example is never held
out; with a single l2, where nothing is chosen, every class may have a single example.
A training example of weight 0 counts as absent.

All rows are on one device, or on the devices of a mesh (`jaxlin.sharding`). A probe
needs all rows in one process. The certificate bounds the objective: the accuracy may
still change with ``relative_gap``, within the bounds of ``optimum``.

  result   `ProbeResult`
  probing  the probe
"""

from jaxlin import chapters
from jaxlin.linear_probe.probing import CS, probe
from jaxlin.linear_probe.result import ProbeResult

__getattr__ = chapters.loader(__name__)
__all__ = ["CS", "ProbeResult", "probe"]
