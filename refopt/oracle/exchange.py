"""Exchange without frameworks: one npz file, without pickles, that says what is to be judged, and the verdict on it.

what        "matrix", "diagonal", "product", "factors", "update", "trajectory", "pruning" or "root"
claim       what they say it is: "fisher", "ggn", "hessian", "empirical"; of factors "kfac-exact", "kfac-empirical",
"kfac-forward-only", "kfac-monte-carlo"; of an update or a trajectory the method, "bfgs"
network     layers in this library's notation: "Sequential(Linear(64, 32), Tanh(), Linear(32, 10))"
x           (P,) parameters, in the order of PyTorch's `named_parameters()`;   or x.0, x.1, … array by array
X, y        inputs (N, …) and labels;   loss, reduction   by their names here
theirs      the matrix (P, P), diagonal or product (P,);   factors: A.0, G.0, A.1, G.1, … layer by layer; or those of
one side alone, of all layers or of some
v           (P,), for a product, in the order of theirs;   labels  that were sampled, for a Fisher matrix
accuracy    the relative error that is no error, such as 1e-5 of differences
precision   "bfloat16", "float16" or "float32", of theirs, where the arrays in the file are of a finer type

trajectory: points (k, n), and where they have them gradients (k, n), values (k,), m, v (k, n), H, B, J (k, n, n),
damping, gamma (k,), t (k,), steps taken before; of a run that begins in the midst also what its method had then: of
Shampoo L.0.0, L.0.1, L.1.0, …, of array 0 and axis 0, of array 0 and axis 1, …, and roots where they are not renewed in
every step; of SOAP m, v, L and Q; of K-FAC and its kin factors and inverse, numbered alike, layer by layer, damping,
gamma and delta, the last step; the randomness of each step, batch (k, size), indices of samples, labels (k,
…), probes and their products (k, S, n); batch.0, batch.1, … where shapes differ from step to step; and the method's
options as option.step, option.beta1, …, of Shampoo and SOAP without a network option.shapes, "3x4, 4"

update: one step, theirs = x₊ − x, from x (n,), with the same of that step
as gradients.0, m.0, v.0, t.0, batch.0, …;   root: A (n, n), p, theirs (n, n)

pruning: the claim "magnitude", "wanda", "obd", "obs", "sparsegpt" or "refit", none where that is to be found; W (out,
n) before and theirs (out, n) after; X (n, N), the calibration inputs, a sample or token in each column, or hessian (n,
n), a multiple of XXᵀ, or a diagonal (n,) or (out, n), or both; where they have it mask (out, n), True where a weight is
kept, which without theirs is judged alone; as they had them option.sparsity, option.damping (percdamp),
option.block_size

refopt judge dump.npz                   prints the verdict; ends with 0, 1 or 2: it is, it is not, no file to judge
refopt.oracle.judge("dump.npz")         the same as a ``Verdict``;   a dict of arrays will do
"""

import zlib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile, is_zipfile

import numpy as np

from refopt.oracle.diagnosis import Diagnosis, diagnose
from refopt.oracle.fifty import SIZE, beside, lifted
from refopt.oracle.fine import eigh
from refopt.oracle.iterates import NESTED, Brief, Record, eps_of, host
from refopt.oracle.prunings.verdict import CORRECTS, Pruning, pruned
from refopt.oracle.replaying import Replay, replay

PRUNING = ("sparsity", "damping", "block_size")
THEIRS = ("theirs", "A", "G", "points", "gradients", "values", "m", "v", "H", "B", "J")  #: what ``precision`` is about
TEXTS = ("what", "claim", "network", "loss", "reduction", "problem", "precision")
PRECISIONS = ("bfloat16", "float16", "float32", "float64")
CARRIED = ("m", "v", "H", "B", "J", "damping", "gamma", "delta", "t", "batch", "labels", "probes", "products")
FIELDS = {"gradients": "g", "values": "f"} | {name: name for name in CARRIED}
NUMBERS = ("t", "values", "damping", "gamma")  #: of each step
ARRAYS = (
    "x", "X", "y", "theirs", "v", "labels", "points", *FIELDS, "A", "G", "W", "mask", "hessian", "p", "accuracy",
)  # fmt: skip
NUMBERED = ("x", "A", "G", *FIELDS)  #: as name.0, name.1, … too
AXES = {"matrix": 2, "diagonal": 1, "product": 1}
WHOLE = ("full", "kfac")  #: of what nothing was left out
SAME = ({"ggn", "fisher"},)  #: the same matrix for losses whose outputs are natural parameters


class Verdict(NamedTuple):
    """Whether theirs is what it claims to be, and what was found."""

    right: bool
    sentence: str
    found: Diagnosis | Replay | Pruning | None = None


def judge(dump: Any) -> Verdict:
    """Judge a dump: the path of an npz file, or a mapping with the same entries, arrays of any kind."""
    entries = read(dump)
    what = str(entries.get("what", ""))
    judges = {
        "matrix": _matrix, "diagonal": _matrix, "product": _matrix, "factors": _matrix, "update": _update,
        "trajectory": _trajectory, "pruning": _pruning, "root": _root,
    }  # fmt: skip
    if what not in judges:
        raise ValueError(f"what is {what!r}; it must be one of {', '.join(judges)}")
    return judges[what](entries)


def read(dump: Any) -> dict[str, Any]:
    """The entries; texts and numbers as Python's own."""
    if isinstance(dump, Mapping):
        entries = {name: value if isinstance(value, str) else host(value) for name, value in dump.items()}
    else:
        path = Path(dump)
        if not path.is_file():
            raise ValueError(f"there is no file {dump}")
        entries = {name: host(value) for name, value in _loaded(path).items()}
    entries = {name: _plain(value) for name, value in entries.items()}
    for name, value in entries.items():
        _known(name)
        _check(name, value)
    if kind := str(entries.get("precision", "")):
        entries |= {name: _rounded(entries[name], kind) for name in entries if name.partition(".")[0] in THEIRS}
    return entries


def _known(name: str) -> None:
    """Whether an entry of that name is looked at: one that is misspelt would be left out in silence."""
    stem, _, rest = name.partition(".")
    if name in (*TEXTS, *ARRAYS) or (rest and stem in ("option", *NUMBERED, *NESTED)):
        return
    names = [*TEXTS, *ARRAYS, *(f"{each}.0" for each in NUMBERED), *(f"{each}.0.0" for each in NESTED), "option.…"]
    near = get_close_matches(stem, names, 1)
    meant = f"; did you mean {near[0]}?" if near else "."
    raise ValueError(f"the dump's {name!r} is no entry that is known{meant} The entries are {', '.join(names)}")


def _check(name: str, value: Any) -> None:
    """What kind of value each entry is."""
    if name in TEXTS:
        wanted, fits = "a text", isinstance(value, str)
    elif name in ("p", "accuracy") or name.rpartition(".")[0] in NUMBERS:
        wanted, fits = "a number", isinstance(value, int | float)
    elif name.startswith("option."):
        wanted, fits = "a number or a text", not isinstance(value, np.ndarray)
    else:
        fits = isinstance(value, np.ndarray) and value.ndim > 0 and value.dtype.kind in "fiub"
        wanted = "an array of real numbers"
        if fits and name.partition(".")[0] not in (*FIELDS, "points") and not np.isfinite(value).all():
            raise ValueError(f"the dump's {name} has entries that are not finite")
    if not fits:
        given = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else repr(value)
        raise ValueError(f"the dump's {name} must be {wanted}; it is {given}")


def _loaded(path: Path) -> dict[str, np.ndarray]:
    if not is_zipfile(path):
        raise ValueError(f"{path} is no npz file, which numpy.savez writes, or it was cut short")
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (BadZipFile, OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} cannot be read: {error}. It is damaged or was cut short: write it again") from error


def _rounded(value: Any, kind: str) -> np.ndarray:
    """Numbers that have been in a coarser type than the file's."""
    if kind not in PRECISIONS:
        raise ValueError(f"precision is {kind!r}; it can be {', '.join(PRECISIONS)}")
    array = np.asarray(value)
    return array.astype(np.float32).view(Brief) if kind == "bfloat16" else array.astype(kind)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray) and (value.dtype.kind == "U" or value.ndim == 0):
        return value.item() if value.ndim == 0 else value
    return value


def _needed(entries: Mapping[str, Any], *names: str) -> list[Any]:
    if missing := [name for name in names if name not in entries]:
        raise ValueError(f"the dump lacks {', '.join(missing)}; it has {', '.join(entries) or 'nothing'}")
    return [entries[name] for name in names]


def _numbered(entries: Mapping[str, Any], name: str) -> dict[int, Any]:
    """The entries name.0, name.1, … in order."""
    wrong = [key for key in entries if key.rpartition(".")[0] == name and not key.rpartition(".")[2].isdecimal()]
    if wrong:
        raise ValueError(f"{wrong[0]!r} must be {name}.0, {name}.1, …")
    found = {int(key.rpartition(".")[2]): value for key, value in entries.items() if key.rpartition(".")[0] == name}
    return dict(sorted(found.items()))


# --- curvature ---------------------------------------------------------------------------------------------------


def _matrix(entries: dict[str, Any]) -> Verdict:
    from refopt.networks import parse
    from refopt.supervised import Supervised

    text, X, y, loss = _needed(entries, "network", "X", "y", "loss")
    network = parse(text)
    x = entries["x"] if "x" in entries else network.ravel([*_numbered(entries, "x").values()])
    if np.shape(x) != (network.size,):
        wanted = f"the network has {network.size} parameters, so x must have shape {(network.size,)}"
        raise ValueError(f"{wanted}; it has {np.shape(x)}")
    problem = Supervised(network, loss, _doubled(X), _doubled(y), entries.get("reduction", "mean"))
    claim, how = entries.get("claim", ""), {name: entries[name] for name in ("labels", "accuracy") if name in entries}
    if entries["what"] == "factors":
        found = diagnose(_factors(entries), problem, x, claim=claim, **how)
    else:
        (theirs,) = _needed(entries, "theirs")
        if theirs.ndim != AXES[entries["what"]]:
            raise ValueError(f"a {entries['what']} has {AXES[entries['what']]} axes; theirs has shape {theirs.shape}")
        v = _needed(entries, "v")[0] if entries["what"] == "product" else None
        found = diagnose(theirs, problem, x, v, claim, **how)
    kinds = next((same for same in SAME if claim in same and problem.loss.name != "gaussian"), {claim})
    near = max(1e-6, 2.0 * found.residual)
    order = ("row", "joint" if entries["what"] == "factors" else "after", False)
    usual = abs(found.scale - 1.0) <= near and found.damping == 0.0
    usual = usual and (found.vec, found.bias, found.backwards) == order
    claimed = not claim or (found.kind in kinds and found.structure in WHOLE)
    return Verdict(bool(found) and not found.defect and usual and claimed, found.sentence, found)


def _factors(entries: Mapping[str, Any]) -> Any:
    """The pairs (A, G) of all layers; or the factors of one side, {"A": {layer: matrix}}."""
    sides = {side: given for side in ("A", "G") if (given := _numbered(entries, side))}
    if not sides:
        raise ValueError("the dump lacks A.0, G.0, A.1, G.1, …: the factors of each layer")
    if len(sides) == 1:
        return sides
    A, G = sides.values()
    if single := sorted(A.keys() ^ G.keys()):
        k = single[0]
        raise ValueError(f"the dump has one of A.{k} and G.{k}: give both, or the factors of one side alone")
    return [(A[k], G[k]) for k in A]


def _doubled(array: Any) -> Any:
    """Floats in double precision, in which our side is computed."""
    return np.asarray(array, float) if array.dtype.kind == "f" else array


# --- runs --------------------------------------------------------------------------------------------------------


def _trajectory(entries: dict[str, Any]) -> Verdict:
    method, points = _needed(entries, "claim", "points")
    return _replayed(entries, method, [{"x": x} for x in points])


def _update(entries: dict[str, Any]) -> Verdict:
    """One step, as a run of two points."""
    method, x, theirs = _needed(entries, "claim", "x", "theirs")
    if x.shape != theirs.shape:
        raise ValueError(f"an update is x₊ − x, of the shape of x, {x.shape}; theirs has shape {theirs.shape}")
    return _replayed(entries, method, [{"x": x}, {"x": x + theirs}])


def _replayed(entries: dict[str, Any], method: str, steps: list[Record]) -> Verdict:
    for name, field in FIELDS.items():
        values = dict(enumerate(entries[name])) if name in entries else _numbered(entries, name)
        for k, value in values.items():
            if k < len(steps) and np.isfinite(value).all():
                steps[k][field] = value
    steps[0] |= {name: tree for name in NESTED if (tree := _tree(entries, name))}
    options = {name.partition(".")[2]: value for name, value in entries.items() if name.startswith("option.")}
    if isinstance(text := options.get("shapes"), str):
        options["shapes"] = _shapes(text)
    found = replay(method, _problem(entries), steps, options or None)
    return Verdict(bool(found), found.sentence, found)


def _shapes(text: str) -> tuple[tuple[int, ...], ...]:
    """((3, 4), (4,)) of "3x4, 4"."""
    parts = [part.strip().split("x") for part in text.split(",")]
    if not all(number.strip().isdecimal() for part in parts for number in part):
        raise ValueError(f"option.shapes must be the arrays' shapes, as in '3x4, 4'; it is {text!r}")
    return tuple(tuple(map(int, part)) for part in parts)


def _tree(entries: Mapping[str, Any], stem: str) -> Any:
    """The entries L.0.0, L.0.1, L.1.0, … as tuples of tuples."""
    found: dict[int, Any] = {}
    for name, value in entries.items():
        head, _, rest = name.partition(".")
        if head == stem:
            first, _, more = rest.partition(".")
            if not all(part.isdecimal() for part in rest.split(".")):
                raise ValueError(f"{name!r} must be {stem}.0.0, {stem}.0.1, …, array by array and axis by axis")
            found.setdefault(int(first), {})[f"{stem}.{more}" if more else ""] = value
    return tuple(own[""] if "" in own else _tree(own, stem) for _, own in sorted(found.items()))


def _problem(entries: dict[str, Any]) -> Any:
    """The problem of a run: one of the zoo by its name, a network's, or none."""
    if "problem" in entries:
        from refopt import zoo

        return zoo.get(entries["problem"]).problem
    if "network" not in entries:
        return None
    from refopt.networks import parse
    from refopt.supervised import Supervised

    text, X, y, loss = _needed(entries, "network", "X", "y", "loss")
    return Supervised(parse(text), loss, _doubled(X), _doubled(y), entries.get("reduction", "mean"))


# --- prunings ----------------------------------------------------------------------------------------------------


def _pruning(entries: dict[str, Any]) -> Verdict:
    if "theirs" not in entries and "mask" in entries:
        return _mask(entries)
    theirs, W = _needed(entries, "theirs", "W")
    given = {name: entries.get(name) for name in ("X", "hessian", "mask")}
    options = _pruning_options(entries)
    claim = entries.get("claim", "")
    found = pruned(theirs, W, **given, claim=claim, **options)
    named = {found.method, found.correction} if claim in CORRECTS else {found.method}
    return Verdict(bool(found) and (not claim or claim in named), found.sentence, found)


def _pruning_options(entries: Mapping[str, Any]) -> dict[str, Any]:
    if wrong := [name for name in entries if name.startswith("option.") and name.partition(".")[2] not in PRUNING]:
        raise ValueError(f"a pruning has no {', '.join(wrong)}; its options are option.{', option.'.join(PRUNING)}")
    return {name: entries[f"option.{name}"] for name in PRUNING if f"option.{name}" in entries}


def _mask(entries: dict[str, Any]) -> Verdict:
    """A mask alone: whether the weights that go are those of the claim; what became of the others is not asked."""
    W, mask = _needed(entries, "W", "mask")
    if W.shape != mask.shape:
        raise ValueError(f"a mask has the shape of W, {W.shape}; it has {mask.shape}")
    X, hessian, claim = (entries.get(name) for name in ("X", "hessian", "claim"))
    found = pruned(np.where(mask != 0, W, 0.0), W, X, hessian, mask, **_pruning_options(entries))
    right = bool(found.mask) and not found.defects and claim in (None, "", found.mask)
    other = f" It is not {claim}'s, which you say it is." if claim and claim != found.mask else ""
    return Verdict(right, found.sentence + other, found)


# --- roots -------------------------------------------------------------------------------------------------------


def _root(entries: dict[str, Any]) -> Verdict:
    """An inverse p-th root, to the digits that the conditioning of A allows."""
    A, p, X = _needed(entries, "A", "p", "theirs")
    values, V = np.linalg.eigh(A.astype(float))
    if values[0] <= 0.0:
        return Verdict(False, f"A is not positive definite: its lowest eigenvalue is {values[0]:.3g}")
    powers = {f"A^(−1/{q:g})": (V * values ** (-1.0 / q)) @ V.T for q in (p, 2 * p, 0.5 * p, -p)}
    errors = {name: float(np.linalg.norm(X - Y) / np.linalg.norm(Y)) for name, Y in powers.items()}
    bound = 100.0 * eps_of(X) * values[-1] / values[0]
    name = next(iter(powers))
    if errors[name] <= bound:
        digits = beside(X, powers[name], lambda: _root_of(A, p)) if len(A) <= SIZE else ""
        return Verdict(True, f"Yours is {name}, to {errors[name]:.1e}; its condition explains {bound:.1e}.{digits}")
    text = f"Yours is not {name}: it is off by {errors[name]:.2g}, and the condition of A explains {bound:.1e}."
    other = min(errors, key=lambda key: errors[key])
    return Verdict(False, text + (f" It is {other}." if errors[other] <= bound else ""))


def _root_of(A: Any, p: float) -> Any:
    """A^(−1/p) in fifty digits."""
    values, V = eigh(lifted(np.asarray(A, float)))
    return (V * values ** (-1 / lifted(float(p)))) @ V.T
