"""Write down the curvature matrices that other packages compute: ``python tests/peers/record_curvature.py``.

It takes torch, curvlinops-for-pytorch, backpack-for-pytorch and nngeometry: one npz file for each model in
``tests/peers/curvature``, with inputs, labels, parameters in the order of `named_parameters()`, and what each package
says; of symmetric matrices the upper triangle, or, beyond the dense model and the mean of the cross-entropy, products
of the matrix that has this upper triangle (``test_curvature.py`` says of which Hessian the lower one is another).
"""

from importlib.metadata import version
from pathlib import Path

import numpy as np

DATA = Path(__file__).parent / "curvature"
MODELS = ("mlp", "convolutional", "transformer", "tokens", "tied")
PACKAGES = ("torch", "curvlinops-for-pytorch", "backpack-for-pytorch", "nngeometry")


def packed(M):
    return M[np.triu_indices(len(M))]


def kept_of(name, loss, reduction, M):
    """What is kept of a matrix, or of a diagonal."""
    if M.ndim == 1:
        return M
    if name == "mlp" or (loss, reduction) == ("cross-entropy", "mean"):
        return packed(M)
    upper = np.triu(M, 1)
    return (upper + upper.T + np.diag(np.diag(M))) @ np.random.default_rng(2).standard_normal((len(M), 3))


def record(name):
    """The arrays of one file."""
    import torch

    from peers import torch_curvature as peer

    torch.manual_seed(0)
    model, rng = peer.MODELS[name](), np.random.default_rng(1)
    X = torch.from_numpy(peer.inputs(name, rng))
    x = torch.nn.utils.parameters_to_vector(model.parameters()).detach().numpy()
    kept = {"X": X.numpy(), "x": x, "versions": ", ".join(f"{package} {version(package)}" for package in PACKAGES)}
    for loss in peer.LOSSES:
        y = peer.labels(name, loss, rng)
        kept[f"{loss}/y"] = y
        for reduction in ("mean", "sum"):
            found = peer.matrices(name, model, loss, reduction, X, torch.from_numpy(y))
            kept["jacobian"] = found.pop("torch/jacobian")
            for what, M in found.items():
                kept[f"{loss}/{reduction}/{what}"] = kept_of(name, loss, reduction, M)
    return kept


if __name__ == "__main__":
    import sys

    sys.path.insert(0, str(Path(__file__).parent.parent))
    DATA.mkdir(exist_ok=True)
    for name in MODELS:
        np.savez_compressed(DATA / f"{name}.npz", **record(name))
