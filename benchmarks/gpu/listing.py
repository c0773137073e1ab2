"""What most people run: the loop of the published PyTorch listing on the device, as it is and under `torch.compile`."""

import statistics
from collections.abc import Iterator
from typing import Final

from vae_rosetta.benchmarks.gpu import images, timing
from vae_rosetta.benchmarks.gpu.finding import Finding
from vae_rosetta.benchmarks.gpu.plan import Amounts, Part
from vae_rosetta.benchmarks.peers import Peer

_MOST: Final = 2  # repetitions: an epoch takes seconds


def findings(part: Part, amounts: Amounts) -> Iterator[Finding]:
    """See `part.Work`."""
    x, _ = images.choose(amounts.images)
    for how, peer in _peers(part):
        for batch in amounts.compiled_batches if part.variant == "compiled" else amounts.batches:
            peer.start(x, batch)
            first = timing.elapsed(peer.epoch, part.device)
            rates = [len(x) / timing.elapsed(peer.epoch, part.device) for _ in range(min(amounts.repetitions, _MOST))]
            yield Finding(f"batch {batch}: first epoch{how}", first, "s")
            yield Finding(f"batch {batch}: fit{how}", statistics.median(rates), "images/s")


def _peers(part: Part) -> Iterator[tuple[str, Peer]]:
    from vae_rosetta.benchmarks.peers import pytorch_compiled, pytorch_tensors

    if part.variant != "compiled":
        yield "", pytorch_tensors.PeerModel(part.device)
        return
    yield "", pytorch_compiled.PeerModel(part.device)
    if part.device == "cuda":
        mode = pytorch_compiled.LAUNCHED_AT_ONCE
        yield f", {mode}", pytorch_compiled.PeerModel(part.device, mode)
