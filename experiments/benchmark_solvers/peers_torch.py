"""L-BFGS of PyTorch, without preconditioning, weights (C, D) from zero, on the CPU.

Neither JAX nor PyTorch is loaded here: PyTorch has a process of its own.
"""

from typing import Any

from experiments.benchmark_solvers.isolation import Recorder
from experiments.benchmark_solvers.rows import Rows
from experiments.common.environment import usable_cores

# Classes of `torch.nn` with their arguments.
CRITERIA: dict[str, tuple[str, dict[str, int]]] = {
    "softmax_cross_entropy": ("CrossEntropyLoss", {}),
    "weston_watkins_hinge": ("MultiMarginLoss", {"p": 1}),
    "weston_watkins_squared_hinge": ("MultiMarginLoss", {"p": 2}),
}


def lbfgs(
    rows: Rows, recorder: Recorder, *, loss: str, l2: float, **settings: Any
) -> str:
    """`torch.optim.LBFGS` on one loss of `torch.nn`."""
    import torch

    torch.set_num_threads(usable_cores())
    features = torch.from_numpy(rows.extended())
    labels = torch.tensor(rows.labels, dtype=torch.long)
    weights = torch.zeros(rows.num_classes, features.shape[1], requires_grad=True)
    name, arguments = CRITERIA[loss]
    criterion = getattr(torch.nn, name)(**arguments)
    # PyTorch divides the sum over wrong classes by the number of classes.
    factor = rows.num_classes if name == "MultiMarginLoss" else 1
    optimizer = torch.optim.LBFGS([weights], **settings)
    passes = 0

    def closure() -> Any:
        nonlocal passes
        optimizer.zero_grad()
        scores = torch.nn.functional.linear(features, weights)
        value = factor * criterion(scores, labels) + l2 / 2 * weights.square().sum()
        value.backward()
        passes += 1
        found = weights.detach().numpy()
        recorder.point(found, passes=passes, value=value.item())
        return value

    recorder.start()
    optimizer.step(closure)
    recorder.point(weights.detach().numpy(), passes=passes, keep=True)
    return f"ended by its own rule after {passes} passes"
