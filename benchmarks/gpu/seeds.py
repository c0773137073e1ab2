"""A port on networks, images and noise that no golden vector holds: not one alarm may sound."""

from collections.abc import Iterator

from vae_rosetta.benchmarks.gpu.finding import Finding
from vae_rosetta.benchmarks.gpu.plan import Amounts, Part
from vae_rosetta.conformance.meta import seeds
from vae_rosetta.implementations import ports

_AT_ONCE = 10  # seeds between two findings: what a part that is ended has shown


def findings(part: Part, amounts: Amounts) -> Iterator[Finding]:
    """See `part.Work`."""
    backend = ports.backend(part.subject)
    for first in range(0, amounts.seeds, _AT_ONCE):
        chosen = range(first, min(first + _AT_ONCE, amounts.seeds))
        alarms, headroom = seeds.run(backend, chosen, part.device)
        note = alarms[0] if alarms else f"largest error {max(headroom.values(), default=0.0):.3f} of its tolerance"
        yield Finding(f"alarms, seeds {chosen.start} to {chosen.stop - 1}", len(alarms), "", not alarms, note)
