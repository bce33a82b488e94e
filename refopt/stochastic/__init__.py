"""Stochastic methods: pure steps over explicit states, all randomness handed in as a ``Draw``.

    from refopt.stochastic import adam
    state = adam.init(problem, x, adam.Params())
    state = adam.step(problem, state, adam.Params(), Draw(batch=[3, 1, 4]))       pure: the old state stays as it was
    state = adam.update(state, grad, adam.Params())                               the same, with anybody's gradient

``refopt.train`` runs them by name. They stand beside the deterministic methods of the same name in ``refopt.methods``,
whose states judge f, search and stop, and which are written in the dialect: what is one equation in both is shared.
"""

from refopt.sampled import Draw, Needs

__all__ = ["Draw", "Needs"]
