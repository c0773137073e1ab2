"""Every cause that the explainer can name: what is wrong, which clause it breaks, where it was met, how it is mended.

`P04` and the like are the numbers of the project's list of pitfalls.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from vae_rosetta.conformance.explainer.cause import Cause
from vae_rosetta.conformance.explainer.loss_causes import LOSSES
from vae_rosetta.conformance.explainer.model_causes import MODEL
from vae_rosetta.conformance.explainer.training_causes import TRAINING

_GITHUB: Final = "https://github.com"

CAUSES: Final[Mapping[str, Cause]] = MappingProxyType({**MODEL, **LOSSES, **TRAINING})


def table() -> str:
    """All causes as a Markdown table."""

    def lines() -> Iterator[str]:
        yield "| cause | what is wrong | clause | pitfall | met in | fix |"
        yield "|---|---|---|---|---|---|"
        for name, cause in CAUSES.items():
            cells = (f"`{name}`", cause.bug, f"`{cause.clause}`", cause.pitfall, _link(cause.report), cause.fix)
            yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return "\n".join(lines()) + "\n"


def _link(report: str) -> str:
    if not report:
        return ""
    if report.startswith("arXiv:"):
        return f"[{report}](https://arxiv.org/abs/{report.removeprefix('arXiv:')})"
    repository, number = report.split("#")
    return f"[{report}]({_GITHUB}/{repository}/issues/{number})"
