"""What PyTorch's users hand in: tensors of coarse types, and optimizers as they run."""

import numpy as np
import pytest

import refopt
from refopt.networks import parse
from refopt.oracle import Recorder, diagnose, judge, replay

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peers
NETWORK = "Sequential(Linear(4, 5), Tanh(), Linear(5, 3))"


def model_of(dtype):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3)).to(dtype)
    return model, torch.randn(30, 4, dtype=torch.float64), torch.randint(0, 3, (30,))


def problem_of(model, X, y):
    x = torch.cat([p.detach().double().reshape(-1) for p in model.parameters()])
    return refopt.Supervised(parse(NETWORK), "cross-entropy", X.numpy(), y.numpy()), x


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_tensors_are_judged_by_their_type(dtype):
    """A matrix stored in the type, and one computed in it."""
    model, X, y = model_of(dtype)
    problem, x = problem_of(model, X, y)
    H = torch.tensor(problem.hess(x.numpy()))
    given = {"network": NETWORK, "x": x, "X": X, "y": y, "loss": "cross-entropy", "what": "matrix", "claim": "hessian"}
    assert judge(given | {"theirs": H.to(dtype)}).right
    assert not judge(given | {"theirs": (2 * H).to(dtype)}).right
    scores = []
    for k in range(30):
        model.zero_grad()
        torch.nn.functional.cross_entropy(model(X[k : k + 1].to(dtype)), y[k : k + 1]).backward()
        scores.append(torch.cat([p.grad.reshape(-1) for p in model.parameters()]))
    S = torch.stack(scores)
    assert diagnose(S.T @ S / 30, problem, x).kind == "empirical"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_optimizers_are_accused_of_nothing(dtype):
    model, X, y = model_of(dtype)
    optimizer, note = torch.optim.Adam(model.parameters(), lr=0.01), Recorder()
    for _ in range(10):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(X.to(dtype)), y).backward()
        note.torch(optimizer)
        optimizer.step()
    note.torch(optimizer)
    found = replay("adam", None, note, {"step": 0.01})
    assert found.verdict == ("undecided" if dtype == torch.bfloat16 else "agrees"), found.sentence
    wrong = replay("adam", None, note, {"step": 0.02})
    assert wrong.verdict == ("undecided" if dtype == torch.bfloat16 else "disagrees"), wrong.sentence


def test_the_example_of_the_docs(tmp_path):
    """The dump that docs/oracle shows."""
    model, X, y = model_of(torch.float64)
    problem, x = problem_of(model, X, y)
    my_fisher = torch.tensor(refopt.curvature.fisher(problem, x.numpy()))
    np.savez(
        tmp_path / "dump.npz", what="matrix", claim="fisher", loss="cross-entropy", reduction="mean", network=NETWORK,
        X=X.numpy(), y=y.numpy(), theirs=my_fisher.numpy(),
        **{f"x.{k}": p.detach().numpy() for k, p in enumerate(model.parameters())},
    )  # fmt: skip
    assert judge(tmp_path / "dump.npz").right
