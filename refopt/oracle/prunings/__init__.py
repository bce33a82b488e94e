"""Prunings of somebody else's: which method made the mask, and what became of the weights that are kept.

layer           what was handed in: the weights, the Hessian of their loss, what has gone
corrections     what may have become of the weights that are kept
masks           what may have chosen those that go
reading         the search, and the verdict in a sentence
"""
