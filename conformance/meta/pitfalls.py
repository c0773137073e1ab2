"""Every known pitfall of a VAE port: its clauses, the tests that stand on them, the mutants that prove it.

`page()` is conformance/PITFALLS.md; a test compares the two, so that the page cannot go stale.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

import click

from vae_rosetta import conformance
from vae_rosetta.conformance.meta.mutants import MUTANTS
from vae_rosetta.conformance.meta.mutants.base import Mutant
from vae_rosetta.shared import files
from vae_rosetta.shared.command_line import Command

PAGE: Final = Path(conformance.__file__).parent / "PITFALLS.md"


_INTRODUCTION: Final = (
    "Written by `python -m conformance.meta pitfalls`; a test keeps it up to date. Clauses are those of "
    "`shared/spec.py`. Vectors are `chapter/slug`, tests of the chapters `chapter::name`. Each mutant is the oracle "
    "with one bug; the tests beside it reject it, and `nox -s mutants` proves so. A report is of that bug, of one of "
    "its kind (its size may be the project's own choice) or of the variant that is taken for the true thing."
)


class Pitfall(NamedTuple):
    """One way for a port to go wrong. `elsewhere` says why no mutant of this model stands for it, and what does."""

    title: str
    elsewhere: str = ""


PITFALLS: Final = {
    "P01": Pitfall("cross-entropy on probabilities saturates differently everywhere"),
    "P02": Pitfall("log(-expm1(log_sigmoid(l))): NaN at large logits; clipped logits"),
    "P03": Pitfall("gradient of a hand-written stable cross-entropy at logit exactly 0"),
    "P04": Pitfall("reduction: sum, batch mean, pixel mean, latent mean, and so the effective beta"),
    "P05": Pitfall("log-variance, log-std and variance confused"),
    "P06": Pitfall("sign and constants of the KL term"),
    "P07": Pitfall("KL term present but inert"),
    "P08": Pitfall("order of arguments of the cross-entropy"),
    "P09": Pitfall("grey pixels as targets"),
    "P10": Pitfall("overflow of logvar, and what is done to hide it"),
    "P11": Pitfall("averages with a short last batch"),
    "P12": Pitfall("stochastic evaluation reported as deterministic, or the other way round"),
    "P13": Pitfall(
        "definitions of reconstruction probability",
        "the contract returns losses, no anomaly score: whatever application scores states its definition itself",
    ),
    "P14": Pitfall(
        "sample count and sign of importance-weighted bounds",
        "the contract returns the two terms of the ELBO: bounds that an application makes of them are tested there",
    ),
    "P15": Pitfall("initial weights are the framework's default"),
    "P16": Pitfall("value and place of Adam's epsilon; its bias corrections and constants"),
    "P17": Pitfall("a gradient of exactly 0"),
    "P18": Pitfall("layout, names and order: (in, out) kernels, fused heads, permuted latents"),
    "P19": Pitfall("flatten order of pictures"),
    "P20": Pitfall("batch statistics where there must be none"),
    "P21": Pitfall("derivative and kind of the activation at and below 0"),
    "P22": Pitfall("TF32, bfloat16 or float16 by default"),
    "P23": Pitfall(
        "subnormal numbers flushed to zero",
        "allowed, as hardware differs: the comparator forgives errors below twice the smallest normal number, and "
        "conformance/meta/test_mutants.py has a port that flushes them all pass every vector",
    ),
    "P24": Pitfall("order and precision of long float32 sums"),
    "P25": Pitfall("float64 silently off, dtypes not as declared"),
    "P26": Pitfall("compiled and eager differ: noise frozen into a compiled function"),
    "P27": Pitfall("seeds and noise: not the given ones, or the same ones twice"),
    "P28": Pitfall("statistics of native sampling"),
    "P29": Pitfall(
        "noise frozen into an exported graph",
        "the contract exports nothing; noise is an argument of every function that uses it",
    ),
    "P30": Pitfall("'MNIST' is several data sets; pixels rescaled, standardised or binarised on the way"),
    "P31": Pitfall("an optimiser that is almost Adam: weight decay, clipping, AMSGrad, frozen parameters"),
    "P32": Pitfall("order of things in the training loop"),
    "P33": Pitfall("arguments changed, arrays shared, shapes that depend on the batch"),
    "P34": Pitfall("a checkpoint that does not resume exactly"),
    "P35": Pitfall("bad input taken, or refused without saying which"),
}


def page() -> str:
    """conformance/PITFALLS.md."""
    text = [
        "# Pitfalls: how VAE ports go wrong, and what notices",
        "",
        _INTRODUCTION,
        "",
        "| | pitfall | clauses | vectors and tests | mutants |",
        "|---|---|---|---|---|",
    ]
    text += [_row(number, pitfall) for number, pitfall in PITFALLS.items()]
    text += ["", "## Mutants", "", "| mutant | bug | reported | rejected by |", "|---|---|---|---|"]
    text += [f"| `{m.name}` | {_cell(m.bug)} | {_source(m)} | {_code(m.rejected_by)} |" for m in MUTANTS]
    return "\n".join([*text, ""])


def _row(number: str, pitfall: Pitfall) -> str:
    mutants = [mutant for mutant in MUTANTS if mutant.pitfall == number]
    if not mutants:
        return f"| {number} | {pitfall.title} | | not graded: {pitfall.elsewhere} | |"
    clauses = dict.fromkeys(mutant.clause for mutant in mutants)
    tests = dict.fromkeys(test for mutant in mutants for test in mutant.rejected_by)
    return f"| {number} | {pitfall.title} | {_code(clauses)} | {_code(tests)} | {_code(m.name for m in mutants)} |"


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _source(mutant: Mutant) -> str:
    if "#" in mutant.source:
        repository, number = mutant.source.split("#")
        return f"[{mutant.source}](https://github.com/{repository}/issues/{number})"
    if mutant.source.startswith("arXiv:"):
        return f"[{mutant.source}](https://arxiv.org/abs/{mutant.source.removeprefix('arXiv:')})"
    return mutant.source


@click.command(cls=Command)
def main() -> None:
    """Write conformance/PITFALLS.md anew."""
    files.write_text(PAGE, page())
    click.echo(f"wrote {PAGE}")
