"""L-BFGS of PyTorch, without preconditioning, weights (C, D) from zero, on the CPU.

Neither JAX nor PyTorch is loaded here: PyTorch has a process of its own.
"""

from typing import Any

from experiments.benchmark_solvers.isolation import Recorder
from experiments.benchmark_solvers.rows import Rows
from experiments.common.environment import usable_cores


def lbfgs(rows: Rows, recorder: Recorder, *, loss: str, l2: float) -> str:
    """`torch.optim.LBFGS` with its strong Wolfe search on one loss of `torch.nn`."""
    import torch

    torch.set_num_threads(usable_cores())
    features = torch.from_numpy(rows.extended())
    labels = torch.tensor(rows.labels, dtype=torch.long)
    weights = torch.zeros(rows.num_classes, features.shape[1], requires_grad=True)
    if loss == "softmax_cross_entropy":
        criterion, factor = torch.nn.CrossEntropyLoss(), 1
    else:
        power = 2 if loss == "weston_watkins_squared_hinge" else 1
        # PyTorch divides the sum over wrong classes by the number of classes.
        criterion, factor = torch.nn.MultiMarginLoss(p=power), rows.num_classes
    optimizer = torch.optim.LBFGS(
        [weights],
        max_iter=10**6,
        max_eval=2 * 10**6,
        tolerance_grad=0.0,
        # Its default, which for float32 objectives about 1 means no change at all.
        tolerance_change=1e-9,
        history_size=10,
        line_search_fn="strong_wolfe",
    )
    evaluations = 0

    def closure() -> Any:
        nonlocal evaluations
        optimizer.zero_grad()
        scores = torch.nn.functional.linear(features, weights)
        value = factor * criterion(scores, labels) + l2 / 2 * weights.square().sum()
        value.backward()
        evaluations += 1
        found = weights.detach().numpy()
        recorder.point(found, evaluations=evaluations, value=value.item())
        return value

    recorder.start()
    optimizer.step(closure)
    recorder.point(weights.detach().numpy(), evaluations=evaluations, keep=True)
    return f"ended by its own rule after {evaluations} evaluations"
