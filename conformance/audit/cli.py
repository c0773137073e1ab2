"""`python -m conformance audit MODULE:FUNCTION`: examines a loss and prints what it is."""

import argparse
import importlib
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn

from vae_rosetta.conformance.audit import tensors
from vae_rosetta.conformance.audit.examination import BATCH, examine
from vae_rosetta.conformance.audit.findings import DECLARATIONS, Findings, describe, ratio
from vae_rosetta.conformance.audit.probe import AuditError
from vae_rosetta.shared import files, spec

CONFORMS, DEVIATES, FAILED = 0, 1, 4  # exit codes, as the suite's

DESCRIPTION: Final = """\
Examines MODULE:FUNCTION, a loss of (reconstruction, target, mu, logvar) in any order, by finite differences: its
effective beta, its reductions, its likelihood, what its second latent argument is, where it saturates.
Exit code 0: it is the specification's loss, up to batch reduction; 1: it is not; 4: it cannot be examined."""

EXAMPLES: Final = """\
examples:
  python -m conformance audit my_package.losses:vae_loss
  python -m conformance audit my_package.losses:vae_loss --arguments x,recon,mu,logvar --tensors torch
  python -m conformance audit my_package.losses:vae_loss --input-dim 28x28x1 --latent-dim 2 --json audit.json"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(FAILED, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str]) -> int:
    """The sub-command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        found = examine(
            _callable(options.loss),
            name=options.loss,
            input_shape=options.input_dim,
            latent_dim=options.latent_dim,
            batch=options.batch,
            framework=options.tensors,
            arguments=options.arguments.split(",") if options.arguments else None,
            declared=options.declare,
        )
        if options.json:
            text = json.dumps(found.to_json(), indent=2, allow_nan=False) + "\n"
            files.write_text(options.json, text)
    except (AuditError, OSError) as error:
        print(f"{options.loss}: {error}", file=sys.stderr)
        return FAILED
    print(table(found), end="")
    return CONFORMS if found.conforms else DEVIATES


def table(found: Findings) -> str:
    """The findings for a terminal."""
    beta = found.effective_beta
    alike = found.batch_reduction == found.kl_batch_reduction or not beta
    batch = f"{found.batch_reduction} for the reconstruction, {found.kl_batch_reduction} for the KL"
    total = f"{found.returns}; the total is {found.total}" if len(found.elements) > 1 else found.returns
    rows = [
        ("loss", found.loss),
        ("takes", ", ".join(f"{label}: {role}" for label, role in found.arguments.items())),
        ("", f"{found.tensors} tensors, {found.precision}; order told by {found.told_by}"),
        ("returns", total),
        *[("", f"{name} = {_weights(w)}") for name, w in found.elements.items() if len(found.elements) > 1],
        *[("", f"not examined: {text}") for text in found.ignored],
        ("likelihood", f"{found.likelihood}; to be {found.sign}"),
        ("effective beta", "unknown" if beta is None else f"{beta:.6g} (+- {found.beta_uncertainty:.0e})"),
        ("batch", found.batch_reduction if alike else batch),
        ("pixels", f"{found.pixel_reduction}; scale {_scale(found.reconstruction_scale, found.pixels)}"),
        ("latents", f"{found.latent_reduction}; scale {_scale(found.kl_scale, found.latent_dim, found.pixels)}"),
        ("second latent", found.second_latent),
        ("clamp", found.clamp),
        *[("off at", f"{fault.where}: {describe(fault)}") for fault in (*found.faults, *found.kl_faults)],
        *([("constant", f"{found.constant:.6g} per image{found.constant_is}")] if found.constant else []),
    ]
    lines = [f"{key:<15} {text}".rstrip() for key, text in rows]
    for deviation in found.deviations:
        lines += ["", f"DEVIATES [{deviation.clause}] {deviation.what}", f"  mend: {deviation.fix}"]
    return "\n".join([*lines, "", _verdict(found)]) + "\n"


def _verdict(found: Findings) -> str:
    if not found.conforms:
        count = f"{len(found.deviations)} deviation{'s' if len(found.deviations) > 1 else ''}"
        return f"It is not the specification's loss (version {spec.VERSION}): {count}."
    difference = f", with a declared difference: {DECLARATIONS[found.declared]}" if found.declared else ""
    return f"It is the specification's loss (version {spec.VERSION}){difference}."


def _weights(weights: dict[str, float | None]) -> str:
    terms = [f"{'?' if w is None else f'{w:.6g}'} {name}" for name, w in weights.items() if w != 0.0]
    return " + ".join(terms) or "constant"


def _scale(value: float | None, *sizes: int) -> str:
    """As a fraction of the first size of which it is one."""
    texts = ["unknown"] if value is None else [ratio(value, size) for size in sizes]
    return next((text for text in texts if "/" in text), texts[0])


def _callable(text: str) -> Callable[..., Any]:
    module, colon, path = text.partition(":")
    if not (module and colon and path):
        raise AuditError("expected MODULE:FUNCTION, such as my_package.losses:vae_loss")
    try:
        found: Any = importlib.import_module(module)
    except Exception as error:  # a stranger's module may raise anything
        raise AuditError(f"cannot import {module!r}: {type(error).__name__}: {error}") from None
    for name in path.split("."):
        if not hasattr(found, name):
            raise AuditError(f"{module!r} has no {path!r}")
        found = getattr(found, name)
    if not callable(found):
        raise AuditError(f"got a {type(found).__name__}; expected a function")
    return found  # type: ignore[no-any-return]


def _shape(text: str) -> tuple[int, ...]:
    sizes = text.lower().split("x")
    if not all(size.isdecimal() and int(size) > 0 for size in sizes):
        raise argparse.ArgumentTypeError(f"got {text!r}; expected a size such as 784, or 28x28x1")
    return tuple(int(size) for size in sizes)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"got {text!r}; expected a whole number of at least 1")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m conformance audit",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("loss", metavar="MODULE:FUNCTION", help="what to examine; MODULE can be imported from here")
    parser.add_argument("--json", metavar="FILE", help="write the findings there too")
    parser.add_argument(
        "--input-dim", type=_shape, default=(spec.INPUT_DIM,), metavar="D", help="pixels, or a shape: 784, 28x28x1"
    )
    parser.add_argument("--latent-dim", type=_positive, default=spec.LATENT_DIM, metavar="L", help="latents (20)")
    parser.add_argument(
        "--batch",
        type=_positive,
        default=BATCH,
        metavar="B",
        help="images, where the loss has their number built in (4)",
    )
    parser.add_argument(
        "--tensors", choices=(*tensors.NAMES, "auto"), default="auto", help="what it takes; auto tries (auto)"
    )
    parser.add_argument(
        "--arguments",
        metavar="ORDER",
        help="recon,x,mu,logvar in the order it takes them, or by keyword: y_pred=recon,y_true=x,m=mu,s=logvar",
    )
    parser.add_argument("--declare", choices=DECLARATIONS, help="the difference that a loss on probabilities admits to")
    return parser
