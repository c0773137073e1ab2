"""A port's certificate on a device: the suite's verdict, the headroom it uses, and how exact its products are."""

import itertools
import os
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from vae_rosetta.benchmarks.gpu.finding import Finding
from vae_rosetta.benchmarks.gpu.plan import Amounts, Part
from vae_rosetta.conformance import certificate, grade, mixed, probe
from vae_rosetta.conformance.outcome import Result, named
from vae_rosetta.implementations import ports
from vae_rosetta.shared import checks

_MANY_CORES: Final = 12


def findings(part: Part, amounts: Amounts) -> Iterator[Finding]:
    """See `part.Work`."""
    dtype = part.variant.partition(" ")[0]
    return _mixed(part, amounts) if dtype == checks.MIXED else _strict(part, amounts, dtype)


def _strict(part: Part, amounts: Amounts, dtype: str) -> Iterator[Finding]:
    bits, wide = probe.significand(ports.backend(part.subject), dtype, part.device)
    exact = bits >= probe.EXPECTED[dtype]
    mode = dtype if exact else probe.mode_name(bits, wide=wide)
    yield Finding("factors of matrix products", bits, "bits", exact, mode)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "certificate.json")
        options = {"--vae-backend": ports.PORTS[part.subject].module, "--vae-device": part.device}
        options |= {"--vae-dtype": dtype, "--vae-report": str(report)}
        chosen = ["-k", " or ".join(f"test_{chapter}.py" for chapter in amounts.chapters)] if amounts.chapters else []
        grade.run([*itertools.chain.from_iterable(options.items()), "-q", *chosen, *_processes()])
        found = certificate.read(report)
    counts = [chapter["dtypes"][dtype]["counts"] for chapter in found["chapters"]]
    passed, failed = (sum(count[result] for count in counts) for result in (Result.PASSED, Result.FAILED))
    failing = ", ".join(named(entry) for entry in found["failures"][:3])
    yield Finding("cases passed", passed, f"of {passed + failed}", passed > 0 and not failed, failing)
    most = max(found["headroom"], key=lambda entry: float(entry["ratio"]), default=None)
    if most is not None:
        yield Finding("largest error", most["ratio"], "of its tolerance", None, f"{most['vector']}: {most['quantity']}")


def _processes() -> list[str]:
    """Two processes where there are cores for them: a framework that compiles needs minutes for all cases."""
    return ["-n", "2"] if find_spec("xdist") is not None and (os.cpu_count() or 1) >= _MANY_CORES else []


def _mixed(part: Part, amounts: Amounts) -> Iterator[Finding]:
    answers = mixed.grade(mixed.offering(ports.PORTS[part.subject].module, device=part.device), device=part.device)
    found = list(itertools.islice(answers, amounts.mixed_vectors))
    failing = [answer.vector for answer in found if answer.problem]
    yield Finding("cases passed", len(found) - len(failing), f"of {len(found)}", not failing, ", ".join(failing[:3]))
    most = max(found, key=lambda answer: answer.used)
    yield Finding("largest error", most.used, "of what is allowed", None, most.vector)
