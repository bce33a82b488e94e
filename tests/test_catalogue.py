"""The list of methods tells the truth, and finding one by name forgives spelling but not mistakes."""

import inspect

import pytest
from scipy.optimize import least_squares as scipy_least_squares
from scipy.optimize import minimize as scipy_minimize
from scipy.optimize import rosen, rosen_der, rosen_hess

import refopt
from refopt.catalogue import BY_NAME, COMMON, ENTRIES, SCIPY_ALONE, available, find, split_options

names = pytest.mark.parametrize("name", [entry.name for entry in ENTRIES])


def test_available_is_public_and_by_name():
    assert refopt.available is available
    trained = [name for name in available("train") if name not in BY_NAME]
    assert list(available()) == [*(entry.name for entry in ENTRIES), *trained]
    assert available("minimize") | available("least_squares") == BY_NAME
    assert all(name == entry.name for name, entry in available().items())


def test_the_methods_of_one_door():
    assert available("train")["adam"].module.__name__ == "refopt.stochastic.adam"
    assert available("minimize")["adam"].module.__name__ == "refopt.methods.adam"
    assert available()["adam"].door == "minimize"
    assert available()["soap"].door == "train"
    assert find("ADAM_no-sqrt", "train").name == "adam-no-sqrt"
    with pytest.raises(ValueError, match=r"train knows no method 'lbfgs'; its methods are sgd, .*soap, l-bfgs"):
        find("lbfgs", "train")
    with pytest.raises(ValueError, match="door must be one of 'minimize', 'least_squares', 'train'; it is 'fit'"):
        available("fit")


@names
def test_every_entry_is_a_method_by_the_contract(name):
    module = available()[name].module
    assert list(inspect.signature(module.init).parameters) == ["problem", "x", "params"]
    assert list(inspect.signature(module.step).parameters) == ["problem", "state", "params"]
    assert list(inspect.signature(module.predicted).parameters) == ["state"]
    assert {"x", "f", "g", "taken", "ok", "nfev", "njev"} <= set(module.State._fields)
    module.Params()  # every option has a default


@names
def test_entries_are_complete(name):
    entry = available()[name]
    assert entry.door in ("minimize", "least_squares")
    assert "jac" in entry.needs
    assert ("nhev" in entry.module.State._fields) == ("hess" in entry.needs)
    assert ("nhvp" in entry.module.State._fields) == ("hessp" in entry.needs)
    assert entry.family
    assert entry.cost
    assert entry.memory


@pytest.mark.parametrize("name", ["trust-exact", "TRUST-EXACT", "Trust_Exact", "trust_exact"])
def test_spelling_is_forgiven(name):
    assert find(name, "minimize").name == "trust-exact"


SCIPYS = ["BFGS", "L-BFGS-B", "Newton-CG", "dogleg", "trust-ncg", "trust-krylov", "trust-exact"]


@pytest.mark.parametrize("name", SCIPYS)
def test_scipys_names_mean_the_same_methods(name):
    """Each does what SciPy's does: as near to the minimum, with the same derivatives."""
    ours = {"L-BFGS-B": "l-bfgs", "dogleg": "trust-dogleg"}.get(name, name.lower())
    assert find(name, "minimize").name == ours
    given = {"jac": rosen_der} | ({"hess": rosen_hess} if "BFGS" not in name else {})
    for run in (refopt.minimize, scipy_minimize):
        assert run(rosen, [1.1, 1.2], method=name, **given).x == pytest.approx([1.0, 1.0], abs=1e-3)


@pytest.mark.parametrize("name", ["nelder-mead", "", None, 3, print, "lm"])
def test_an_unknown_method_is_an_error_that_lists_the_known(name):
    with pytest.raises(ValueError, match=r"minimize knows no method .*; its methods are bfgs, .*trust-exact"):
        find(name, "minimize")


def test_doors_have_their_own_methods():
    assert find("lm", "least_squares").name == "lm"
    with pytest.raises(ValueError, match="least_squares knows no method 'bfgs'; its methods are lm"):
        find("bfgs", "least_squares")


def test_options_are_split_into_params_and_common():
    entry = find("bfgs", "minimize")
    params, common = split_options(entry, {"c2": 0.5, "maxiter": 7, "gtol": None, "trials": 9})
    assert params == entry.module.Params(c2=0.5, trials=9)
    assert common == {"maxiter": 7, "gtol": None}
    assert split_options(entry, None) == (entry.module.Params(), {})


def test_the_options_given_are_left_alone():
    given = {"c2": 0.5, "maxiter": 7}
    split_options(find("bfgs", "minimize"), given)
    assert given == {"c2": 0.5, "maxiter": 7}


def test_options_take_the_type_of_their_default():
    params, _ = split_options(find("trust-exact", "minimize"), {"radius": 2, "eta": "0.25"})
    assert params.radius == 2.0
    assert type(params.radius) is type(params.eta) is float


def test_the_nearest_method_is_named():
    with pytest.raises(ValueError, match=r"minimize knows no method 'LBFGS'; its .*; did you mean 'l-bfgs'\?$"):
        find("LBFGS", "minimize")
    with pytest.raises(ValueError, match=r"minimize knows no method 'simplex'; its methods are .*adahessian$"):
        find("simplex", "minimize")


@pytest.mark.parametrize(
    ("name", "door", "who"),
    [
        ("Nelder-Mead", "minimize", "scipy.optimize.minimize has it"),
        ("trust-constr", "minimize", "scipy.optimize.minimize has it"),
        ("trf", "least_squares", "scipy.optimize.least_squares has it"),
        ("lm", "minimize", "refopt.least_squares has it"),
        ("l_bfgs", "least_squares", "refopt.minimize and refopt.train have it"),
        ("sgd", "minimize", "refopt.train has it"),
    ],
)
def test_a_method_that_others_have_is_looked_for_there(name, door, who):
    with pytest.raises(ValueError, match=f"knows no method '{name}'; .*; {who}$"):
        find(name, door)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("door", "run"), [("minimize", scipy_minimize), ("least_squares", scipy_least_squares)])
def test_what_scipy_alone_has_is_scipys(door, run):
    assert not set(SCIPY_ALONE[door]) & available(door).keys()
    for name in SCIPY_ALONE[door]:
        assert run(lambda x: (x - 1.0) @ (x - 1.0), [0.5], method=name).x == pytest.approx(1.0, abs=0.1)


@names
def test_an_unknown_option_is_an_error_that_lists_the_known(name):
    entry = available()[name]
    with pytest.raises(TypeError) as caught:
        split_options(entry, {"maxiter": 3, "ftol": 1e-3, "xatol": 1})
    said = str(caught.value)
    assert f"{name} has no option" in said
    assert "'ftol'" in said or "ftol" in entry.module.Params._fields
    assert all(option in said for option in (*entry.module.Params._fields, *COMMON))


@pytest.mark.parametrize(("word", "code"), [("strong-wolfe", 0), ("hager-zhang", 1), ("armijo", 2), ("fixed", 3)])
def test_a_search_is_chosen_by_its_name(word, code):
    params, _ = split_options(find("l-bfgs", "minimize"), {"search": word})
    assert params.search == code


@pytest.mark.parametrize("wrong", ["wolfe", "", None, 7])
def test_an_unknown_search_is_an_error_that_lists_the_known(wrong):
    with pytest.raises(ValueError, match="search must be one of 'strong-wolfe', 'hager-zhang', 'armijo', 'fixed'; it"):
        split_options(find("bfgs", "minimize"), {"search": wrong})


def test_options_that_are_arrays_are_left_to_the_front_door():
    matrix = object()
    assert find("bfgs", "minimize").arrays == ("hess_inv0",)
    assert find("sr1", "minimize").arrays == ("hess0",)
    assert find("l-bfgs", "minimize").arrays == ("history",)
    assert split_options(find("bfgs", "minimize"), {"hess_inv0": matrix})[1] == {"hess_inv0": matrix}
    with pytest.raises(TypeError, match=r"bfgs has no option 'history'; its options are .*hess_inv0"):
        split_options(find("bfgs", "minimize"), {"history": matrix})
