"""Somebody else's trajectory: one record a step, taken from whatever they have.

    records([x0, x1, …])                            arrays alone
    records([{"x": x0, "g": g0, "H": H0}, …])       with what else they carry, by its name in the method's ``State``
    records(results)                                SciPy's intermediate results, NamedTuples, any objects with fields

    note = Recorder()
    scipy.optimize.minimize(…, callback=note)       both of SciPy's forms
    note.torch(optimizer)                           parameters, gradients and state of a ``torch.optim`` optimizer
    note.optax(params, opt_state, grads)            trees of arrays: dicts in sorted order, lists and tuples in theirs
    refopt.oracle.replay("bfgs", problem, note)

Names of SciPy, PyTorch and optax become those of the field: fun → f, jac → g, hess → B, hess_inv → H, exp_avg and mu →
m, exp_avg_sq and nu → v.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

NAMES = {
    "fun": "f", "jac": "g", "grad": "g", "gradient": "g", "hess": "B", "hess_inv": "H",
    "exp_avg": "m", "exp_avg_sq": "v", "mu": "m", "nu": "v", "sum": "v", "square_avg": "v", "momentum_buffer": "m",
    "trace": "m", "count": "t",
}  # fmt: skip
MATRICES = ("H", "B", "S", "Y", "J", "probes", "products", "labels")
NESTED = ("L", "Q", "roots", "factors", "inverse")  #: of Shampoo, SOAP and K-FAC: matrices array by array, axis by axis

Record = dict[str, Any]


def records(iterates: Iterable[Any]) -> list[Record]:
    """The iterates as dicts of NumPy arrays; each has x (n,), and all have the same n."""
    found = [record(entry) for entry in iterates]
    for k, entry in enumerate(found):
        if "x" not in entry:
            raise ValueError(f"iterate {k} has no x; it has {', '.join(entry) or 'nothing'}")
        if entry["x"].shape != found[0]["x"].shape:
            raise ValueError(f"x has shape {found[0]['x'].shape} at first and {entry['x'].shape} in iterate {k}")
    if len(found) < 2:
        raise ValueError(f"a replay needs two iterates at least, the first and what became of it; given: {len(found)}")
    return found


def record(entry: Any) -> Record:
    """One iterate: an array is x; of anything else its fields."""
    if isinstance(entry, Mapping):
        fields = dict(entry)
    elif hasattr(entry, "_asdict"):
        fields = entry._asdict()
    elif hasattr(entry, "dtype") or isinstance(entry, list | tuple):
        fields = {"x": entry}
    else:
        fields = vars(entry)
    return {NAMES.get(name, name): taken(NAMES.get(name, name), value) for name, value in fields.items()}


def taken(name: str, value: Any) -> Any:
    """An array of NumPy's, flat but for matrices; what is none stays as it is."""
    value = getattr(value, "todense", lambda: value)()  # SciPy's product form of an L-BFGS matrix
    if isinstance(value, bool | str | int | float) or value is None:
        return value
    if name == "masks":
        return tuple(map(host, value))
    if name in NESTED:
        return nest(value)
    if name == "t":  # of PyTorch a float32
        return int(host(value).reshape(-1)[0])
    array = flat([value]) if not hasattr(value, "dtype") else host(value)
    return array if name in MATRICES or array.ndim == 0 else array.reshape(-1)


def nest(tree: Any) -> Any:
    """Tuples of tuples of arrays, in double precision, of lists or tuples of them."""
    if isinstance(tree, list | tuple):
        return tuple(map(nest, tree))
    return None if tree is None else np.asarray(host(tree), float)


class Brief(np.ndarray):
    """Numbers of bfloat16, which NumPy has not, as float32."""

    eps = 2.0**-7


def host(array: Any) -> np.ndarray:
    """A copy on the host, of PyTorch's and CuPy's arrays too."""
    if isinstance(array, Brief):
        return array.copy()
    coarse = str(getattr(array, "dtype", "")) == "torch.bfloat16"
    for step in ("detach", "cpu", "get", *(["float"] if coarse else []), "numpy"):
        array = getattr(array, step, lambda same=array: same)()
    array = np.array(array)
    if coarse:
        return array.view(Brief)
    if str(array.dtype) == "bfloat16" or array.dtype == "V2":  # JAX's, and what becomes of it in an npz file
        return (array.view(np.uint16).astype(np.uint32) << 16).view(np.float32).view(Brief)
    return array


def eps_of(array: Any) -> float:
    """The distance of 1 to the next number of the array's type; float64's where it is of no floating type."""
    if isinstance(array, Brief):
        return Brief.eps
    kind = np.asarray(array).dtype
    return float(np.finfo(kind if kind.kind == "f" else float).eps)


def flat(tree: Any) -> np.ndarray:
    """All numbers of a tree of arrays, in the order of the module's docstring."""
    parts = [leaf.reshape(-1) for leaf in leaves(tree)]
    if not parts:
        return np.empty(0)
    whole = np.concatenate(parts)
    return whole.view(Brief) if all(isinstance(part, Brief) for part in parts) else whole


def leaves(tree: Any) -> Iterator[np.ndarray]:
    if isinstance(tree, Mapping):
        for name in sorted(tree):
            yield from leaves(tree[name])
    elif isinstance(tree, list | tuple):
        for part in tree:
            yield from leaves(part)
    elif tree is not None:
        yield host(tree)


class Recorder:
    """Collects records, step by step; hand it to ``replay`` when the run is over."""

    def __init__(self, x0: Any = None) -> None:
        self.records: list[Record] = [] if x0 is None else [record(x0)]

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def __len__(self) -> int:
        return len(self.records)

    def __call__(self, intermediate_result: Any) -> None:
        """A callback of ``scipy.optimize.minimize``: SciPy sees the name of the argument and hands in more than x."""
        self.records.append(record(intermediate_result))

    def note(self, **fields: Any) -> None:
        """One iterate by name of its fields, x among them."""
        self.records.append(
            record({name: flat(v) if isinstance(v, list) and name not in NESTED else v for name, v in fields.items()})
        )

    def torch(self, optimizer: Any) -> None:
        """Parameters, gradients and averages of an optimizer, all parameters in one vector.   Call it before a step.

        After the last step call it once more; the gradients that belong to the last parameters need not be there.
        """
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        fields: Record = {"x": flat(parameters)}
        if all(p.grad is not None for p in parameters):
            fields["g"] = flat([p.grad for p in parameters])
        states = [optimizer.state.get(p, {}) for p in parameters]
        for theirs in set().union(*states):
            if theirs in NAMES and all(hasattr(state.get(theirs), "dtype") for state in states):
                fields[NAMES[theirs]] = flat([state[theirs] for state in states])
        if "step" in states[0]:
            fields["t"] = taken("t", states[0]["step"])
        self.records.append(fields)

    def optax(self, params: Any, opt_state: Any = None, grads: Any = None) -> None:
        """Parameters, the averages mu, nu and trace of a state, and gradients at these parameters."""
        fields: Record = {"x": flat(params)}
        if grads is not None:
            fields["g"] = flat(grads)
        for theirs, value in named_leaves(opt_state):
            fields.setdefault(NAMES[theirs], taken("t", value) if NAMES[theirs] == "t" else flat(value))
        self.records.append(fields)


def named_leaves(state: Any) -> Iterator[tuple[str, Any]]:
    """The averages among the fields of nested states."""
    fields = state._asdict() if hasattr(state, "_asdict") else {}
    for name, value in fields.items():
        if name in NAMES and value is not None:
            yield name, value
        else:
            yield from named_leaves(value)
    if isinstance(state, list | tuple) and not fields:
        for part in state:
            yield from named_leaves(part)
