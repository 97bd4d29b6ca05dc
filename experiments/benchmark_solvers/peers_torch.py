"""PyTorch's L-BFGS, on the CPU."""

from typing import Any

import numpy as np

from experiments.benchmark_solvers.isolation import cores
from experiments.benchmark_solvers.traces import Recorder

HISTORY = 10
ITERATIONS = 10**6
# Its default: the least absolute change of objective or step. Of float32 objectives
# about 1 it means no change at all.
CHANGE_TOLERANCE = 1e-9


def lbfgs(
    rows: np.ndarray, labels: np.ndarray, recorder: Recorder, *, l2: float, loss: str
) -> str:
    """`torch.optim.LBFGS` with its strong Wolfe search on one loss of `torch.nn`."""
    import torch

    torch.set_num_threads(cores())
    num_classes = int(labels.max()) + 1
    features, targets = torch.from_numpy(rows), torch.from_numpy(labels).long()
    weights = torch.zeros(num_classes, rows.shape[1], requires_grad=True)
    if loss == "softmax_cross_entropy":
        criterion: Any = torch.nn.CrossEntropyLoss()
        factor = 1.0
    else:
        power = 2 if loss == "weston_watkins_squared_hinge" else 1
        # PyTorch divides the sum over wrong classes by the number of classes.
        criterion, factor = torch.nn.MultiMarginLoss(p=power), float(num_classes)
    optimizer = torch.optim.LBFGS(
        [weights],
        max_iter=ITERATIONS,
        max_eval=2 * ITERATIONS,
        tolerance_grad=0.0,
        tolerance_change=CHANGE_TOLERANCE,
        history_size=HISTORY,
        line_search_fn="strong_wolfe",
    )
    evaluations = 0

    def closure() -> Any:
        nonlocal evaluations
        optimizer.zero_grad()
        scores = torch.nn.functional.linear(features, weights)
        value = factor * criterion(scores, targets) + l2 / 2 * weights.square().sum()
        value.backward()
        evaluations += 1
        recorder.point(
            weights.detach().numpy(), evaluations=evaluations, value=value.item()
        )
        return value

    recorder.start()
    optimizer.step(closure)
    recorder.point(weights.detach().numpy(), evaluations=evaluations, keep=True)
    return f"ended by its own rule after {evaluations} evaluations"
