"""Networks as text: what is written is read again, and nothing else runs."""

import pytest

from refopt.networks import Linear, Residual, Sequential, Tanh, parse, vit


@pytest.mark.parametrize(
    "network",
    [
        Linear(2, 3),
        Sequential(Linear(4, 3), Tanh(), Residual(Linear(3, 3), Tanh()), Linear(3, 2, bias=False)),
        vit(),
    ],
    ids=["layer", "residual", "vit"],
)
def test_what_repr_shows_is_read_again(network):
    again = parse(repr(network))
    assert repr(again) == repr(network)
    assert again.plan.slots == network.plan.slots


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("Linear(2,", "this is no network"),
        ("Dense(2, 3)", "no layer is called 'Dense'; there are"),
        ("__import__('os').system('true')", "no layer is called"),
        ("Linear(2, open)", "'open' is neither a layer nor a number"),
        ("Linear(2)", "missing 1 required positional argument"),
        ("(1, 2)", "must be a layer"),
    ],
)
def test_what_is_no_network_is_refused(text, complaint):
    with pytest.raises(ValueError, match=complaint):
        parse(text)
