"""What the oracle says of public libraries: every run, step and matrix below is judged as a user's own would be.

    pip install torch curvlinops-for-pytorch backpack-for-pytorch nngeometry
    pip install optax optimistix pytorch_optimizer torch_optimizer heavyball PyHessian
    python examples/judge_public_libraries.py [table.csv]

Libraries that are not installed are left out. These are good libraries; where a sentence finds a difference it says
which convention or equation it is, so that the reader of one library understands the numbers of another.
"""

import csv
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version

import numpy as np

import refopt
from refopt import conformance
from refopt.networks import parse
from refopt.oracle import Recorder, diagnose, replay

NETWORK = "Sequential(Linear(4, 5), Tanh(), Linear(5, 3))"
SHAPES = ((5, 4), (5,), (3, 5), (3,))
rng = np.random.default_rng(0)
X, LABELS = rng.standard_normal((30, 4)), rng.integers(0, 3, 30)
PROBLEM = refopt.Supervised(parse(NETWORK), "cross-entropy", X, LABELS)
X0 = PROBLEM.network.init(rng)
Row = tuple[str, str, bool, str]


def scipy() -> Iterator[Row]:
    """Runs on Rosenbrock's function in five variables."""
    from scipy import optimize

    problem, x0 = refopt.Problem(optimize.rosen, optimize.rosen_der, optimize.rosen_hess), np.tile([-1.2, 1.0], 3)[:5]
    names = {"bfgs": "BFGS", "l-bfgs": "L-BFGS-B", "newton-cg": "Newton-CG", "trust-exact": "trust-exact",
             "trust-dogleg": "dogleg", "trust-ncg": "trust-ncg", "trust-krylov": "trust-krylov"}  # fmt: skip
    for ours, theirs in names.items():
        note = Recorder(x0)
        hess = None if "BFGS" in theirs else optimize.rosen_hess
        optimize.minimize(optimize.rosen, x0, jac=optimize.rosen_der, hess=hess, method=theirs, callback=note)
        found = replay(ours, problem, note, {"search": "strong-wolfe"} if "BFGS" in theirs else None)
        yield "scipy", f"minimize(method={theirs!r})", bool(found), found.sentence
    for name in ("BFGS", "L-BFGS-B"):
        reports = conformance.check(
            lambda fun, x0, jac, name=name: optimize.minimize(fun, x0, jac=jac, method=name), "minimizer"
        )
        wrong = [f"{r.says}: {r.detail}" for r in reports if r.status == "fails"]
        said = "; ".join(wrong) or f"All {len(reports)} properties of a minimizer hold."
        yield "scipy", f"minimize(method={name!r}), as a minimizer", not wrong, said


def torch_model() -> tuple:
    """The network in PyTorch, at the same parameters."""
    import torch

    torch.set_default_dtype(torch.float64)
    model = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3))
    torch.nn.utils.vector_to_parameters(torch.tensor(X0), model.parameters())
    return torch, model, torch.tensor(X), torch.tensor(LABELS), torch.nn.CrossEntropyLoss()


def run_of(make: Callable, steps: int = 12, number: str = "float64") -> Recorder:
    """The records of an optimizer on the network's loss, in numbers of a type."""
    torch, model, inputs, labels, loss = torch_model()
    model, inputs = model.to(getattr(torch, number)), inputs.to(getattr(torch, number))
    optimizer, note = make(model.parameters()), Recorder()

    def closure():
        optimizer.zero_grad()
        value = loss(model(inputs), labels)
        value.backward()
        return value

    for _ in range(steps):
        closure()
        note.torch(optimizer)
        optimizer.step(closure)
    closure()
    note.torch(optimizer)
    return note


def torch_optim() -> Iterator[Row]:
    import torch

    makers = {
        "adam": (lambda p: torch.optim.Adam(p, lr=0.01), {"step": 0.01}),
        "adamw": (lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1), {"step": 0.01, "weight_decay": 0.1}),
        "adagrad": (lambda p: torch.optim.Adagrad(p, lr=0.1), {"step": 0.1, "eps": 1e-10}),
        "rmsprop": (lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.9), {"step": 0.01, "decay": 0.9}),
        "momentum": (lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9), {"step": 0.1}),
        "l-bfgs": (lambda p: torch.optim.LBFGS(p, max_iter=1, history_size=5, line_search_fn="strong_wolfe"),
                   {"memory": 5, "search": "strong-wolfe"}),
    }  # fmt: skip
    for name, (make, params) in makers.items():
        found = replay(name, PROBLEM, run_of(make), params)
        yield "torch", f"optim, {name}", bool(found), found.sentence


def tensor_optimizers() -> Iterator[Row]:
    """Optimizers that look at the shapes of the arrays."""
    sources = []
    try:
        import pytorch_optimizer

        sources += [
            ("pytorch_optimizer", "SOAP", "soap", lambda p: pytorch_optimizer.SOAP(p, lr=0.01, weight_decay=0.0),
             {"step": 0.01, "shapes": SHAPES}),
            ("pytorch_optimizer", "Shampoo", "shampoo",
             lambda p: pytorch_optimizer.Shampoo(p, lr=0.01, preconditioning_compute_steps=1, matrix_eps=1e-4),
             {"step": 0.01, "eps": 1e-4, "shapes": SHAPES}),
            ("pytorch_optimizer", "Shampoo, momentum 0.9", "shampoo",
             lambda p: pytorch_optimizer.Shampoo(p, lr=0.01, momentum=0.9, preconditioning_compute_steps=1,
                                                 matrix_eps=1e-4),
             {"step": 0.01, "eps": 1e-4, "beta1": 0.9, "shapes": SHAPES}),
        ]  # fmt: skip
    except ImportError:
        pass
    try:
        import torch_optimizer

        sources.append(("torch_optimizer", "Shampoo", "shampoo",
                        lambda p: torch_optimizer.Shampoo(p, lr=0.01, epsilon=1e-4),
                        {"step": 0.01, "eps": 1e-4, "shapes": SHAPES}))  # fmt: skip
    except ImportError:
        pass
    for library, what, name, make, params in sources:
        found = replay(name, PROBLEM, run_of(make), params)
        yield library, what, bool(found), found.sentence


def adahessian() -> Iterator[Row]:
    """AdaHessian, with the random signs that it draws drawn twice from one seed; its Hessian power is ½ by default."""
    import torch_optimizer

    torch, model, inputs, labels, loss = torch_model()
    optimizer = torch_optimizer.Adahessian(model.parameters(), lr=0.05, eps=1e-4)
    records = []
    for k in range(12):
        optimizer.zero_grad()
        loss(model(inputs), labels).backward(create_graph=True)
        x = torch.nn.utils.parameters_to_vector(model.parameters()).detach().numpy().copy()
        torch.manual_seed(k)
        z = np.concatenate([(2 * torch.randint_like(p, high=2) - 1).numpy().ravel() for p in model.parameters()])
        g = np.concatenate([p.grad.detach().numpy().ravel() for p in model.parameters()])
        records.append({"x": x, "g": g, "probes": z[None], "products": PROBLEM.hvp(x, z)[None]})
        torch.manual_seed(k)
        optimizer.step()
    records.append({"x": torch.nn.utils.parameters_to_vector(model.parameters()).detach().numpy().copy()})
    found = replay("adahessian", PROBLEM, records, {"step": 0.05, "eps": 1e-4, "exponent": 0.25})
    yield "torch_optimizer", "Adahessian", bool(found), found.sentence


def heavyball() -> Iterator[Row]:
    """Its optimizers as they are, in float32, which is what they store."""
    import heavyball

    heavyball.utils.compile_mode = None
    wanted = {"gradient_clipping": None, "update_clipping": None, "warmup_steps": 0}
    makers = {
        "adamw": (lambda p: heavyball.AdamW(p, lr=0.01, weight_decay=0.1, eps=1e-8, **wanted),
                  {"step": 0.01, "beta2": 0.99, "weight_decay": 0.1}),
        "soap": (lambda p: heavyball.SOAP(p, lr=0.01, weight_decay=0.0, precondition_frequency=1, merge_dims=False,
                                          use_precond_schedule=False, **wanted),
                 {"step": 0.01, "beta1": 0.9, "beta2": 0.95, "shapes": SHAPES, "every": 1}),
    }  # fmt: skip
    for name, (make, params) in makers.items():
        found = replay(name, PROBLEM, run_of(make, steps=8, number="float32"), params)
        yield "heavyball", name, bool(found), found.sentence


def pyhessian() -> Iterator[Row]:
    """Its product with the Hessian, and what its iterations make of it, to the accuracy that they are asked for."""
    from pyhessian import hessian
    from pyhessian.utils import hessian_vector_product

    torch, model, inputs, labels, loss = torch_model()
    its = hessian(model, loss, data=(inputs, labels), cuda=False)
    v = np.random.default_rng(1).standard_normal(len(X0))
    parts = [torch.tensor(v[slot.part].reshape(slot.shape)) for slot in PROBLEM.network.plan.slots]
    product = hessian_vector_product(its.gradsH, its.params, parts)
    theirs = np.concatenate([p.detach().numpy().ravel() for p in product])
    yield judged("PyHessian", "hessian_vector_product", theirs, "hessian", v=v)
    largest = its.eigenvalues(maxIter=1000, tol=1e-8, top_n=1)[0][0]
    values = np.linalg.eigvalsh(PROBLEM.hess(X0))
    error = abs(largest / values[np.abs(values).argmax()] - 1.0)
    said = f"The eigenvalue of largest modulus, to {error:.1e}; it was asked for to 1e-8 from step to step."
    yield "PyHessian", "eigenvalues(top_n=1)", error < 1e-5, said


def optax() -> Iterator[Row]:
    import jax
    import optax

    jax.config.update("jax_enable_x64", True)
    makers = {
        "adam": (optax.adam(0.01), {"step": 0.01}),
        "adamw": (optax.adamw(0.01, weight_decay=0.1), {"step": 0.01, "weight_decay": 0.1}),
        "rmsprop": (optax.rmsprop(0.01), {"step": 0.01, "decay": 0.9}),
        "momentum": (optax.sgd(0.1, momentum=0.9), {"step": 0.1}),
    }
    for name, (optimizer, params) in makers.items():
        note, x = Recorder(), jax.numpy.asarray(X0)
        state = optimizer.init(x)
        for _ in range(12):
            g = jax.numpy.asarray(PROBLEM.grad(np.asarray(x)))
            note.optax(x, state, g)
            step, state = optimizer.update(g, state, x)
            x = optax.apply_updates(x, step)
        note.optax(x, state)
        found = replay(name, PROBLEM, note, params)
        yield "optax", name, bool(found), found.sentence


def optimistix() -> Iterator[Row]:
    """BFGS, trial by trial of its search: it stays where it was until one is accepted."""
    import equinox
    import jax
    import optimistix

    jax.config.update("jax_enable_x64", True)
    from scipy import optimize

    def rosen(x, args):
        return jax.numpy.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2), None

    solver, x = optimistix.BFGS(rtol=1e-12, atol=1e-12), jax.numpy.array([-1.2, 1.0, 0.5])
    state, points = solver.init(rosen, x, None, {}, *jax.eval_shape(rosen, x, None), frozenset()), [np.asarray(x)]
    step = equinox.filter_jit(lambda x, state: solver.step(rosen, x, None, {}, state, frozenset())[:2])
    for _ in range(120):
        x, state = step(x, state)
        if not np.array_equal(x, points[-1]):
            points.append(np.asarray(x))
    found = replay("bfgs", refopt.Problem(optimize.rosen, optimize.rosen_der), points)
    yield "optimistix", "BFGS", bool(found), found.sentence


def judged(library: str, what: str, theirs: object, claim: str, **more: object) -> Row:
    found = diagnose(theirs, PROBLEM, X0, claim=claim, **more)
    right = bool(found) and not found.defect and abs(found.scale - 1.0) < 1e-6
    return library, what, right, found.sentence


def torch_func() -> Iterator[Row]:
    torch, model, inputs, labels, loss = torch_model()
    names = [name for name, _ in model.named_parameters()]
    shapes = [p.shape for p in model.parameters()]

    def value(x):
        parts = torch.split(x, [s.numel() for s in shapes])
        named = {n: p.reshape(s) for n, p, s in zip(names, parts, shapes, strict=True)}
        return loss(torch.func.functional_call(model, named, (inputs,)), labels)

    yield judged("torch", "func.hessian", torch.func.hessian(value)(torch.tensor(X0)), "hessian")


def curvlinops() -> Iterator[Row]:
    import curvlinops

    torch, model, inputs, labels, loss = torch_model()
    data, params = [(inputs, labels)], list(model.parameters())
    kinds = {"HessianLinearOperator": "hessian", "GGNLinearOperator": "ggn", "EFLinearOperator": "empirical"}
    for name, claim in kinds.items():
        operator = getattr(curvlinops, name)(model, loss, params, data)
        yield judged("curvlinops-for-pytorch", name, operator @ torch.eye(len(X0)), claim)
    for fisher in ("type-2", "empirical"):
        operator = curvlinops.KFACLinearOperator(model, loss, params, data, fisher_type=fisher)
        yield judged("curvlinops-for-pytorch", f"KFACLinearOperator, {fisher}", operator @ torch.eye(len(X0)), "")


def backpack() -> Iterator[Row]:
    import backpack
    from backpack import extensions

    kinds = {"DiagGGNExact": ("diag_ggn_exact", "ggn"), "DiagHessian": ("diag_h", "hessian"),
             "SumGradSquared": ("sum_grad_squared", "empirical"), "Variance": ("variance", "")}  # fmt: skip
    for name, (field, claim) in kinds.items():
        _, model, inputs, labels, loss = torch_model()
        model, loss = backpack.extend(model), backpack.extend(loss)
        with backpack.backpack(getattr(extensions, name)()):
            loss(model(inputs), labels).backward()
        theirs = np.concatenate([getattr(p, field).detach().numpy().ravel() for p in model.parameters()])
        yield judged("backpack-for-pytorch", name, theirs, claim)
    _, model, inputs, labels, loss = torch_model()
    model, loss = backpack.extend(model), backpack.extend(loss)
    with backpack.backpack(extensions.KFLR()):
        loss(model(inputs), labels).backward()
    pairs = [[f.detach().numpy() for f in p.kflr] for p in model.parameters() if len(p.kflr) == 2]
    yield judged("backpack-for-pytorch", "KFLR, factors of the weights", [(A, G) for G, A in pairs], "")


def nngeometry() -> Iterator[Row]:
    from nngeometry.metrics import FIM
    from nngeometry.object import PMatDense

    torch, model, inputs, labels, _ = torch_model()
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(inputs, labels), batch_size=10)
    fisher = FIM(model=model, loader=loader, representation=PMatDense, variant="classif_logits", device="cpu")
    matrix = fisher.to_torch() if hasattr(fisher, "to_torch") else fisher.get_dense_tensor()
    yield judged("nngeometry", "FIM, PMatDense, classif_logits", matrix, "fisher")


PARTS = (
    scipy, torch_func, torch_optim, optax, optimistix, tensor_optimizers, adahessian, heavyball, curvlinops, backpack,
    nngeometry, pyhessian,
)  # fmt: skip


def rows() -> Iterator[tuple[str, ...]]:
    for part in PARTS:
        try:
            for library, what, right, sentence in part():
                yield library, version(library), what, "as it says" if right else "differs", sentence
        except ImportError as error:
            print(f"left out: {part.__name__} ({error})", file=sys.stderr)


if __name__ == "__main__":
    table = [("library", "version", "what", "found", "in words")]
    for row in rows():
        print(" | ".join(row), flush=True)
        table.append(row)
    if len(sys.argv) > 1:
        with open(sys.argv[1], "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(table)
