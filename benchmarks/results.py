"""What a run found: medians and quartiles of its readings, shares of the rooflines, and every reading itself."""

import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from vae_rosetta.benchmarks import gate, limits, machine
from vae_rosetta.benchmarks.plan import FIRST_EPOCH, FORMAT, IMPORTS, INFERENCE, PRODUCTS, TRAFFIC, TRAINING
from vae_rosetta.benchmarks.products.shapes import adam_bytes, flops_per_image
from vae_rosetta.benchmarks.run import Entry, Measured, PeerEntry, Reading
from vae_rosetta.benchmarks.worker import SEED
from vae_rosetta.shared import spec

Json = dict[str, Any]


class Spread(NamedTuple):
    """The middle of some readings, and the range of the half of them around it."""

    median: float
    q1: float
    q3: float


def spread(values: Sequence[float]) -> Spread:
    """Median and quartiles of one value or more, linear between values."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    q1, median, q3 = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, q1, q3)


def report(measured: Measured) -> Json:
    """The result file: see schema.json."""
    plan, images = measured.plan, measured.images
    return {
        "format": FORMAT,
        "specification": spec.VERSION,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            **machine.machine(),
            "others_percent": measured.others_percent,
            "nearest_round_trip_ns": measured.nearest,
        },
        "software": machine.software(),
        "data": {
            "source": images.source,
            "sha256": images.sha256,
            "source_images": images.source_images,
            "images": images.count,
            "input_dim": images.input_dim,
        },
        "protocol": {
            "dtype": plan.dtype,
            "seed": SEED,
            "sizes": list(measured.sizes),
            "batches": list(plan.batches),
            "repetitions": plan.repetitions,
            "import_repetitions": plan.import_repetitions,
            "inference_rows": plan.rows,
            "turn_seconds": plan.turn_seconds,
            "target": plan.target,
            "order": "interleaved: within a round each participant takes its turn, fit and train one after the other",
            "gate": list(gate.CHAPTERS),
            "agreement_limit": plan.agreement,
        },
        "roofline": _roofline(measured),
        "backends": [_backend(measured, entry) for entry in measured.entries.values()],
        "peers": [_peer(measured, entry) for entry in measured.peers.values()],
        "refused": [{"module": module, "reason": reason} for module, reason in measured.refused.items()],
        "turns": [
            {
                **reading.turn._asdict(),
                "images": reading.images,
                "seconds": reading.seconds,
                "round_trip_ns": reading.round_trip,
            }
            for reading in measured.readings
        ],
    }


def _roofline(measured: Measured) -> Json:
    flops, traffic = flops_per_image(measured.sizes), adam_bytes(measured.sizes)
    streaming = _limits(measured, TRAFFIC)
    batches = []
    for batch, limit in _limits(measured, PRODUCTS).items():
        rates = list(limit.rates.values())
        medians = {
            name: statistics.median(_rate(reading) for reading in _readings(measured, name, PRODUCTS, batch))
            for name in measured.libraries
        }
        batches.append(
            {
                "batch": batch,
                "fastest": limit.participant,
                "images_per_second": spread(rates)._asdict(),
                "gflops_per_second": spread([rate * flops / 1e9 for rate in rates])._asdict(),
                "median_images_per_second": medians,
                "with_adam": {
                    "fastest": streaming[batch].participant,
                    "images_per_second": spread([*_with_adam(measured, batch).values()])._asdict(),
                    "gigabytes_per_second": spread(
                        [rate / batch * traffic / 1e9 for rate in streaming[batch].rates.values()]
                    )._asdict(),
                },
            }
        )
    libraries = {name: identity["version"] for name, identity in measured.libraries.items()}
    return {"flops_per_image": flops, "adam_bytes": traffic, "libraries": libraries, "batches": batches}


def _limits(measured: Measured, measure: str) -> dict[int, limits.Limit]:
    return limits.limits(
        limits.Turn(reading.turn.round, reading.turn.participant, reading.turn.batch, _rate(reading))
        for reading in measured.readings
        if reading.turn.measure == measure and reading.turn.batch is not None
    )


def _with_adam(measured: Measured, batch: int) -> dict[int, float]:
    products, traffic = (_limits(measured, measure)[batch] for measure in (PRODUCTS, TRAFFIC))
    return limits.one_after_the_other(products, traffic)


def _backend(measured: Measured, entry: Entry) -> Json:
    identity, name = entry.identity, entry.module
    seconds = {
        measure: [reading.seconds for reading in _readings(measured, name, measure, None)] for measure in IMPORTS
    }
    return {
        "module": name,
        "describe": identity["describe"],
        "packages": identity["packages"],
        "gate": {"passed": entry.verdict.passed, "skipped": entry.verdict.skipped},
        "training": [
            {
                "batch": batch,
                "difference_from_oracle": entry.difference[batch],
                "first_epoch_seconds": _readings(measured, name, FIRST_EPOCH, batch)[0].seconds,
                **{kind: _training(measured, name, kind, batch) for kind in TRAINING},
            }
            for batch in measured.plan.batches
        ],
        "inference": {
            kind: spread([_rate(reading) for reading in readings])._asdict() if readings else None
            for kind, readings in ((kind, _readings(measured, name, kind, None)) for kind in INFERENCE)
        },
        "import_seconds": {
            "module": spread(seconds["import"])._asdict(),
            "framework": spread(seconds["import_framework"])._asdict() if seconds["import_framework"] else None,
            "framework_statements": identity["framework"],
        },
        "target": _target(measured, name),
        **entry.closing,
    }


def _target(measured: Measured, name: str) -> Json | None:
    """What a user waits for the wanted test loss; None where it was not measured."""
    reached = measured.reached.get(name)
    if reached is None:
        return None
    return {
        "seconds": spread([one.seconds for one in reached])._asdict(),
        "epochs": [one.epochs for one in reached],
        "test": [one.test for one in reached],
    }


def _peer(measured: Measured, entry: PeerEntry) -> Json:
    return {
        "name": entry.name,
        "packages": entry.identity["packages"],
        "differs": entry.identity["differs"],
        "training": [
            {
                "batch": batch,
                "first_epoch_objective": entry.objective[batch],
                "first_epoch_seconds": _readings(measured, entry.name, FIRST_EPOCH, batch)[0].seconds,
                "fit": _training(measured, entry.name, "fit", batch),
            }
            for batch in measured.plan.batches
        ],
        "target": _target(measured, entry.name),
        **entry.closing,
    }


def _training(measured: Measured, name: str, kind: str, batch: int) -> Json:
    """Images per second, and their shares of both rooflines, each turn with the roofline's of the same round."""
    rates = {reading.turn.round: _rate(reading) for reading in _readings(measured, name, kind, batch)}
    shares = {"percent_of_roofline": _limits(measured, PRODUCTS)[batch].rates}
    shares["percent_of_roofline_with_adam"] = _with_adam(measured, batch)
    return {"images_per_second": spread(list(rates.values()))._asdict()} | {
        name: spread([100.0 * rate / limit[number] for number, rate in rates.items()])._asdict()
        for name, limit in shares.items()
    }


def _readings(measured: Measured, participant: str, kind: str, batch: int | None) -> list[Reading]:
    return [reading for reading in measured.readings if reading.turn[1:] == (participant, kind, batch)]


def _rate(reading: Reading) -> float:
    if reading.images is None:
        raise ValueError(f"reading: got {reading}; expected one that counts images")
    return reading.images / reading.seconds
