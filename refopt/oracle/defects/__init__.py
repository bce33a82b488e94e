"""Ways of going wrong that occur in the wild, each as the change of a rule that reproduces it.

A defect is literal: the mistake as it is made, in place of one function of the rule. Where a run disagrees with the
method and agrees with a defect throughout, ``replay`` names it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Defect:
    """What is done wrong, in a sentence, where that is known from, and the keywords of the rule that do it too."""

    says: str
    source: str
    how: Mapping[str, Any] = field(default_factory=dict)
