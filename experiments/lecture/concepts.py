"""The forty concepts of the lecture, each with the place where it can be run."""

from typing import NamedTuple


class Concept(NamedTuple):
    """A row of the register.

    Attributes:
      number: in the order of the slides.
      concept: in the lecture's words.
      where: dotted names of functions, modules or experiments.
    """

    number: int
    concept: str
    where: tuple[str, ...]


def _numbered(*rows: tuple[str, str]) -> tuple[Concept, ...]:
    return tuple(
        Concept(number, concept, tuple(places.split()))
        for number, (concept, places) in enumerate(rows, start=1)
    )


CONCEPTS = _numbered(
    (
        "image classification into discrete labels",
        "jaxlin.data.Dataset jaxlin.predict",
    ),
    (
        "supervised learning: data, hypothesis class, loss, search",
        "jaxlin.problem jaxlin.solvers.random_search",
    ),
    (
        "y = sign(w.x): the case of two classes",
        "jaxlin.linear.predict jaxlin.losses.softmax_cross_entropy",
    ),
    ("nearest neighbour", "jaxlin.neighbors.nearest"),
    (
        "its four choices",
        "jaxlin.neighbors.distances jaxlin.neighbors.vote jaxlin.neighbors.local_fit",
    ),
    ("its problems", "experiments.nearest_neighbor"),
    (
        "hyperparameters, the four ideas, cross-validation",
        "jaxlin.cross_validate experiments.cross_validation",
    ),
    ("CIFAR-10", "jaxlin.data.load"),
    ("parametric approach: f(x, W)", "jaxlin.linear.scores"),
    ("f = W x + b, the bias trick", "jaxlin.linear.fold_bias jaxlin.linear.append_one"),
    ("the worked example", "experiments.viewpoints"),
    ("algebraic viewpoint", "jaxlin.linear.fold_normalization"),
    ("visual viewpoint: templates", "jaxlin.geometry.hyperplanes.templates"),
    (
        "geometric viewpoint: hyperplanes",
        "jaxlin.geometry.hyperplanes.signed_distances "
        "jaxlin.geometry.hyperplanes.regions "
        "jaxlin.geometry.robustness.smallest_perturbation",
    ),
    (
        "hard cases for a linear classifier",
        "jaxlin.data.toy jaxlin.geometry.separability.prove experiments.hard_cases",
    ),
    ("interpreting a linear classifier", "jaxlin.geometry.hyperplanes.contributions"),
    (
        "error decomposition",
        "jaxlin.stats.decomposition experiments.error_decomposition",
    ),
    ("convolutional features, then softmax", "jaxlin.features.convolutional"),
    (
        "image and question to the top K answers",
        "jaxlin.data.embeddings experiments.probe",
    ),
    ("networks are linear classifiers stacked", "jaxlin.features.convolutional"),
    (
        "a loss tells how good W is",
        "jaxlin.objective.objective jaxlin.fit",
    ),
    ("loss over the data set", "jaxlin.objective.mean_loss"),
    ("multiclass SVM loss", "jaxlin.losses.weston_watkins_hinge"),
    (
        "Q1: the car's scores change a bit",
        "jaxlin.losses.margin_violations experiments.loss_questions",
    ),
    ("Q2: least and greatest loss", "experiments.loss_questions"),
    ("Q3: W about 0", "jaxlin.linear.init experiments.loss_questions"),
    ("Q4: the sum over all classes", "jaxlin.losses.transforms.sum_over_all_classes"),
    (
        "Q5: the mean instead of the sum",
        "jaxlin.losses.transforms.mean_over_wrong_classes "
        "jaxlin.losses.transforms.mean_over_all_classes",
    ),
    ("Q6: squared", "jaxlin.losses.weston_watkins_squared_hinge"),
    ("Q7: is W unique?", "experiments.loss_questions jaxlin.objective.penalties.l2"),
    ("the example code", "jaxlin.losses.weston_watkins_hinge"),
    ("softmax: exp, normalise", "jaxlin.losses.softmax_cross_entropy"),
    ("-log P(y)", "jaxlin.losses.softmax_cross_entropy"),
    (
        "likelihood, divergence, cross-entropy",
        "jaxlin.losses.kl_divergence jaxlin.losses.cross_entropy jaxlin.losses.entropy",
    ),
    ("softmax, least and greatest", "experiments.loss_questions"),
    ("softmax at the start: log C", "jaxlin.linear.init experiments.loss_questions"),
    (
        "softmax against SVM",
        "experiments.svm_vs_softmax jaxlin.stats.comparison.mcnemar "
        "experiments.loss_questions",
    ),
    (
        "data loss plus regularisation",
        "jaxlin.objective.objective jaxlin.objective.penalties.l2",
    ),
    (
        "finding the best W",
        "jaxlin.solvers.minibatch jaxlin.solvers.certified "
        "jaxlin.certificates.certification.certificate",
    ),
    (
        "softmax = multinomial logistic regression",
        "jaxlin.losses.softmax_cross_entropy experiments.loss_questions",
    ),
)
