"""The Scala port on a standalone Spark cluster of two workers, processes on loopback: the curve of local mode, and the
same one when a worker is killed on the way. 20,000 images in Parquet; two to four minutes.
"""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from vae_rosetta.shared import datasets
from vae_rosetta.shared.contract import Array

IMAGES, BATCH, EPOCHS = 20_000, 400, 1
STEPS: Final = EPOCHS * IMAGES // BATCH
SETTINGS: Final[dict[str, Any]] = {
    "partitions": 2, "seed": 0, "epochs": EPOCHS, "batch_size": BATCH, "hidden": 400, "dtype": "float32",
    "orderCol": "number",
}  # fmt: skip


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> str:
    """20,000 digits, in several files: those of mnist-5k, and each of them moved by one to four pixels."""
    import pyarrow
    import pyarrow.parquet

    folder = tmp_path_factory.mktemp("images")
    digits = datasets.load("mnist-5k").train  # (4000, 784)
    for moved in range(5):
        pixels = np.roll(digits.reshape(-1, 28, 28), moved, axis=2).reshape(digits.shape)
        numbers = np.arange(len(digits)) * 5 + moved
        table = pyarrow.table({"number": numbers, "features": list(pixels)})
        pyarrow.parquet.write_table(table, folder / f"{moved}.parquet")
    return str(folder)


@pytest.fixture(scope="module")
def local_curve(spark: Any, parquet: str) -> Array:
    """Of local mode."""
    with spark.session("local[2]") as jvm:
        curve: Array = spark.step_objectives(spark.fitted(jvm, jvm.spark.read.parquet(parquet), **SETTINGS))
    assert curve.shape == (STEPS,)
    assert curve[-1] < 0.5 * curve[0]
    return curve


@pytest.fixture
def cluster(spark: Any, tmp_path: Path) -> Iterator[Any]:
    """A cluster that ends with the test."""
    started = spark.cluster(tmp_path)
    try:
        yield started
    finally:
        started.stop()


def test_two_workers_give_the_curve_of_local_mode(spark: Any, cluster: Any, parquet: str, local_curve: Array) -> None:
    with spark.session(cluster.master, **{"spark.executor.memory": "1g"}) as jvm:
        jvm.until_workers(2)
        curve = spark.step_objectives(spark.fitted(jvm, jvm.spark.read.parquet(parquet), **SETTINGS))
    np.testing.assert_array_equal(curve, local_curve)  # to the bit: sums are in the order of partitions


def test_a_lost_worker_changes_nothing(spark: Any, cluster: Any, parquet: str, local_curve: Array) -> None:
    found: list[Any] = []
    with spark.session(cluster.master, **{"spark.executor.memory": "1g"}) as jvm:
        jvm.until_workers(2)
        data = jvm.spark.read.parquet(parquet)
        training = threading.Thread(target=lambda: found.append(spark.fitted(jvm, data, **SETTINGS)), daemon=True)
        training.start()
        while (done := jvm.finished_jobs()) < STEPS // 2:  # a step is a job
            assert training.is_alive()
            time.sleep(0.1)
        cluster.kill_a_worker()
        training.join(300)
        assert not training.is_alive()
        jvm.until_workers(1)
        assert done < STEPS * 3 // 4  # it was in the middle
        assert jvm.finished_jobs() >= STEPS
        curve = spark.step_objectives(found[0])
    np.testing.assert_array_equal(curve, local_curve)
