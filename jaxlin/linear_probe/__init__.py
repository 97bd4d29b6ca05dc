"""Linear probe: test accuracy of a linear classifier on frozen features.

How good is a representation? Fit a linear classifier on frozen features for many values
of l2, choose l2 on held-out examples, refit on all training examples, test once::

    import jax, jaxlin
    key = jax.random.key(0)
    features = jax.random.normal(key, (600, 8))
    labels = (features[:, 0] + 0.3 * features[:, 1] > 0).astype(int)
    found = jaxlin.probe(
        key, features[:400], labels[:400], features[400:], labels[400:],
        cs=(0.01, 1, 100))
    print(found.test.accuracy, found.test.log_loss, found.fit.l2, found.fit.converged)
    jaxlin.predict(found.fit, features[:3])

The default is DINOv2's protocol: 45 values of scikit-learn's C from 1e-6 to 1e5,
compared on a tenth of the training examples, and the best again on all of them (Oquab
et al., DINOv2: Learning robust visual features without supervision, 2023). Validation
sets, folds, groups, class weights and few-shot protocols are options.

Features are standardised by the training examples unless a normalization is given. A
class with a single training example is never held out; with a single l2, where nothing
is chosen, every class may have a single example. A training example of weight 0 counts
as absent. Regression is out of scope.

All rows are on one device, on the devices of a mesh, or spread over several processes
(`jaxlin.sharding`), each with training and test rows of its own. The certificate bounds
the objective: the accuracy may still change with ``relative_gap``, within the bounds of
``test.optimum``.

  class_weights      class weights, and the shift of the prior that they cause
  examples           training and held-out examples
  l2_choice          comparison of l2 on held-out examples
  calibrated_fit     temperature of the final fit
  selected_fit       the fit on the chosen l2
  result             `ProbeResult`
  probing            the probe
  few_shots          probes of k examples per class, on several draws: `few_shot`
  paired             two probes on the same test examples: `compare`
  multilabel_choice  choice of l2 by held-out average precision
  multilabel_result  `MultilabelResult`
  multilabel         several labels per example: `multilabel_probe`
"""

from jaxlin import chapters
from jaxlin.linear_probe.few_shots import FewShot, few_shot
from jaxlin.linear_probe.multilabel import multilabel_probe
from jaxlin.linear_probe.multilabel_result import MultilabelResult, label_scores
from jaxlin.linear_probe.paired import ProbeComparison, compare
from jaxlin.linear_probe.probing import probe
from jaxlin.linear_probe.result import ProbeResult
from jaxlin.linear_probe.selected_fit import CS

__getattr__ = chapters.loader(__name__)
__all__ = [
    "CS",
    "FewShot",
    "MultilabelResult",
    "ProbeComparison",
    "ProbeResult",
    "compare",
    "few_shot",
    "label_scores",
    "multilabel_probe",
    "probe",
]
