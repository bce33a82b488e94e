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


OPTIMIZERS = {
    "sgd": (torch.optim.SGD, {}, {}),
    "momentum": (torch.optim.SGD, {"momentum": 0.9}, {}),
    "adam": (torch.optim.Adam, {}, {}),
    "adamw": (torch.optim.AdamW, {"weight_decay": 0.1}, {"weight_decay": 0.1}),
    "adagrad": (torch.optim.Adagrad, {}, {"eps": 1e-10}),
    "rmsprop": (torch.optim.RMSprop, {"alpha": 0.9}, {"decay": 0.9}),
}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("whole", [True, False])
def test_optimizers_are_accused_of_nothing(name, dtype, whole):
    """Weights in the type; with `whole` the optimizer's averages are in the records."""
    make, theirs, ours = OPTIMIZERS[name]
    model, X, y = model_of(dtype)
    optimizer, note = make(model.parameters(), lr=0.02, **theirs), Recorder()
    for _ in range(30):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(X.to(dtype)), y).backward()
        note.torch(optimizer)
        optimizer.step()
    note.torch(optimizer)
    run = note if whole else [{name: entry[name] for name in ("x", "g")} for entry in note]
    found = replay(name, None, run, {"step": 0.02} | ours)
    assert found, found.sentence
    wrong = replay(name, None, run, {"step": 0.04} | ours)
    assert wrong.verdict == "disagrees", wrong.sentence
    assert wrong.guess.get("step", 0.02) == pytest.approx(0.02, rel=0.1)


def test_gradients_in_bfloat16_beside_weights_in_float32():
    """What the step had are the coarse gradients; it is as fine as the weights."""
    model, X, y = model_of(torch.float32)
    optimizer, run = torch.optim.Adam(model.parameters(), lr=0.02), []
    for k in range(11):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(X.float()), y).backward()
        coarse = [p.grad.bfloat16() for p in model.parameters()]
        for p, g in zip(model.parameters(), coarse, strict=True):
            p.grad = g.float()
        x = torch.cat([p.detach().reshape(-1) for p in model.parameters()])
        run.append({"x": x, "g": torch.cat([g.reshape(-1) for g in coarse])} if k < 10 else {"x": x})
        optimizer.step()
    found = replay("adam", None, run, {"step": 0.02})
    assert found, found.sentence
    assert max(f.tolerance for f in found.findings) < 2e-3
    assert replay("adam", None, run, {"step": 0.021}).verdict == "disagrees"


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
