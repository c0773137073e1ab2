"""What is said of a cause."""

from typing import NamedTuple


class Cause(NamedTuple):
    """One way of being wrong."""

    bug: str  # what is wrong, as a clause: "the KL term is averaged over the latents"
    clause: str  # of shared/spec.py
    pitfall: str  # its number in the list of pitfalls; empty for what is on no list
    report: str  # where it was met in public, owner/repo#number or arXiv:number; empty where none is known
    fix: str
