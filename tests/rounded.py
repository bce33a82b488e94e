"""Right but for rounding or noise: curvature, runs and prunings, their numbers changed in the last digit, or coarse."""

from importlib import import_module
from itertools import islice

import numpy as np

import refopt
from refopt import curvature, pruning
from refopt.catalogue import available
from refopt.oracle.iterates import Brief
from refopt.sampled import Draw

TYPES = ("float64", "float32", "bfloat16")


def last_digit(values, rng, eps=2.0**-52):
    """Changed by up to two units in the last place."""
    return values * (1 + eps * rng.integers(-2, 3, np.shape(values)))


def brief(a):
    """To the nearest number of bfloat16, as ``Brief``."""
    bits = np.atleast_1d(np.asarray(a, np.float32)).view(np.uint32)
    near = ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).view(np.float32)
    return near.reshape(np.shape(a)).view(Brief)


def stored(a, kind):
    """As a type keeps it."""
    return {"float64": np.asarray, "float32": np.float32, "bfloat16": brief}[kind](a)


# --- curvature ---------------------------------------------------------------------------------------------------


def there(case, rng, kind):
    """The problem and the point with rounded inputs: as they were in the other program."""
    eps = 2.0**-52 if kind == "float64" else 2.0**-23
    X = last_digit(case.problem.X, rng, eps)
    problem = refopt.Supervised(case.problem.network, case.problem.loss, X, case.problem.y)
    return problem, last_digit(case.x, rng, eps)


MATRICES = {
    "hessian": curvature.hessian, "ggn": curvature.ggn, "functional-hessian": curvature.functional_hessian,
    "empirical": lambda p, x: curvature.fisher(p, x, kind="empirical"),
    "empirical-centred": lambda p, x: curvature.fisher(p, x, kind="empirical", centred=True),
    "kfac-exact": lambda p, x: curvature.kfac(p, x).dense(),
    "kfac-empirical": lambda p, x: curvature.kfac(p, x, fisher="empirical").dense(),
    "ekfac-exact": lambda p, x: curvature.ekfac(p, x).dense(),
}  # fmt: skip


def curved(case, rng, kind, what, number):
    """A matrix, diagonal or product, and v where there is one."""
    M = np.asarray(MATRICES[kind](*there(case, rng, number)))
    v = rng.standard_normal(len(M)) if what == "product" else None
    theirs = {"matrix": lambda: M, "diagonal": lambda: np.diag(M), "product": lambda: M @ v}[what]()
    return stored(theirs, number), v


def paired(case, rng, fisher, number):
    problem, x = there(case, rng, number)
    return [(stored(b.A, number), stored(b.G, number)) for b in curvature.kfac(problem, x, fisher=fisher).blocks]


# --- runs of minimize ----------------------------------------------------------------------------------------------


def minimized(method, problem, x0, rng, number, steps=15):
    module = available()[method].module
    states = islice(refopt.iterate(module, problem, x0, module.Params()), steps)
    return [stored(last_digit(s.x, rng), number) for s in states]


# --- runs of steps from gradients ------------------------------------------------------------------------------------

SHAPES = ((3, 4), (4,))
STEPS = {
    "sgd": {}, "momentum": {"step": 0.01}, "adagrad": {}, "rmsprop": {}, "adam": {"step": 0.01},
    "adamw": {"step": 0.01}, "adam-no-sqrt": {"eps": 1e-3},
    "adahessian": {"step": 0.05, "averaging": "none", "probes": 2},
    "shampoo": {"shapes": SHAPES, "eps": 1e-3}, "soap": {"shapes": SHAPES, "every": 3},
}  # fmt: skip
WAYS = ("plain", "decay", "schedule", "midst", "decay and schedule", "noisy")


def descended(method, rng, number, way, steps=14):
    """Records of a run on a quartic bowl, and its options; with weights in bfloat16 the means are in float32."""
    module = import_module(f"refopt.stochastic.{method.replace('-', '_')}")
    options = STEPS[method] | ({"weight_decay": 0.1} if "decay" in way else {})
    params = module.Params(**options)
    wide = np.float64 if number == "float64" else np.float32
    n, h = 16, rng.uniform(0.1, 3.0, 16)
    x, centre = (rng.standard_normal(n)).astype(wide), rng.standard_normal(n)
    plain = lambda a: np.asarray(stored(a, number)).view(np.ndarray)
    state, run = module.init(None, plain(x), params), []
    for k in range(steps):
        g = h * (state.x - centre) + 0.1 * (state.x - centre) ** 3
        g = g + 0.3 * rng.standard_normal(n) if way == "noisy" else g
        g, entry, more = plain(g), {"x": stored(state.x, number)}, {}
        entry["g"] = stored(g, number)
        if method == "adahessian":
            z = rng.choice([-1.0, 1.0], (2, n)).astype(wide)
            more = {"products": (z * h).astype(wide)}
            entry |= {"probes": z} | more
        if way == "midst":
            entry |= {name: getattr(state, name) for name in ("m", "v") if hasattr(state, name)} | {"t": state.t}
        run.append(entry)
        now = params._replace(step=params.step * min(1.0, (k + 1) / 5)) if "schedule" in way else params
        state = module.update(state, g, now, Draw(probes=entry.get("probes")), **more)
        state = state._replace(x=plain(last_digit(state.x, rng, np.finfo(wide).eps / 4)))
    run.append({"x": stored(state.x, number)})
    return run[5 if way == "midst" else 0 :], options


# --- prunings ----------------------------------------------------------------------------------------------------


def pruned(method, rng, number):
    out, n = 6, 24
    mixed = np.eye(n) + 0.5 * rng.standard_normal((n, n))
    X = rng.uniform(0.5, 2.0, n)[:, None] * (mixed @ rng.standard_normal((n, 80)))
    W = rng.standard_normal((out, n))
    W, X = (np.asarray(stored(a, "float64" if number == "float64" else "float32"), float) for a in (W, X))
    make = {
        "magnitude": lambda W, X: pruning.magnitude(W, X, 0.5).weights,
        "wanda": lambda W, X: pruning.wanda(W, X, 0.5).weights,
        "obd": lambda W, X: pruning.obd(W, np.broadcast_to((X * X).mean(1), W.shape), sparsity=0.5).weights,
        "obs": lambda W, X: pruning.obs_rows(W, X, 0.5).weights,
        "sparsegpt": lambda W, X: pruning.sparsegpt(W, X, 0.5, block_size=8).weights,
    }[method]
    eps = 2.0**-52 if number == "float64" else 2.0**-24
    theirs = np.asarray(make(last_digit(W, rng, eps / 2), last_digit(X, rng, eps / 2)))
    moved = method in ("obs", "sparsegpt")
    theirs = theirs if moved else np.where(theirs == 0.0, 0.0, W)
    wide = "float64" if number == "float64" else "float32" if not moved else number
    return stored(theirs, wide), stored(W, "float64" if number == "float64" else "float32"), X


def planted(x, seed, size):
    """Noise that is a function of x alone, uniform in ±size."""
    return size * np.random.default_rng([seed, *np.ascontiguousarray(x).view(np.uint64)]).uniform(-1, 1, len(x))
