"""The studies: of the lecture, SGD, optima, influence, the probe, benchmarks."""

import experiments.benchmark_neighbors.__main__ as benchmark_neighbors
import experiments.benchmark_solvers.__main__ as benchmark_solvers
import experiments.benchmark_sweep.__main__ as benchmark_sweep
import experiments.certified_optima.__main__ as certified_optima
import experiments.cross_validation.__main__ as cross_validation
import experiments.error_decomposition.__main__ as error_decomposition
import experiments.hard_cases.__main__ as hard_cases
import experiments.influence.__main__ as influence
import experiments.loss_questions.__main__ as loss_questions
import experiments.nearest_neighbor.__main__ as nearest_neighbor
import experiments.probe.__main__ as probe
import experiments.svm_vs_softmax.__main__ as svm_vs_softmax
import experiments.train_sgd.__main__ as train_sgd
import experiments.viewpoints.__main__ as viewpoints
from experiments.common.study import Study

_IN_ORDER = (
    nearest_neighbor.STUDY,
    cross_validation.STUDY,
    viewpoints.STUDY,
    hard_cases.STUDY,
    error_decomposition.STUDY,
    loss_questions.STUDY,
    svm_vs_softmax.STUDY,
    train_sgd.STUDY,
    certified_optima.STUDY,
    influence.STUDY,
    probe.STUDY,
    benchmark_neighbors.STUDY,
    benchmark_solvers.STUDY,
    benchmark_sweep.STUDY,
)

STUDIES: dict[str, Study] = {study.name: study for study in _IN_ORDER}
