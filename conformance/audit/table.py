"""The findings of an audit as a table for a terminal."""

from vae_rosetta.conformance.audit.findings import DECLARATIONS, Findings, describe, ratio
from vae_rosetta.shared import spec


def text(found: Findings) -> str:
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
        *[("", f"not examined: {what}") for what in found.ignored],
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
    lines = [f"{key:<15} {value}".rstrip() for key, value in rows]
    for deviation in found.deviations:
        lines += ["", f"DEVIATES [{deviation.places}] {deviation.what}", f"  fix: {deviation.fix}"]
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
