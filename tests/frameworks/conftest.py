"""Spark for the tests of the Scala port: sessions, a cluster of processes on loopback, images in data frames.

PySpark is imported where it is used: this file is read by the tests of all frameworks.
"""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pytest

from vae_rosetta.implementations import programs
from vae_rosetta.implementations.ports import PORTS
from vae_rosetta.shared.contract import Array

LOOPBACK: Final = "127.0.0.1"
_WAIT: Final = 60.0  # seconds for a process to be there


class Jvm(NamedTuple):
    """Spark's session, and the classes of the port in its JVM."""

    spark: Any
    scala: Any  # the package vaerosetta.spark
    Error: type[Exception]  # what an IllegalArgumentException of the JVM is in Python

    def frame(self, java: Any) -> Any:
        """A Java data frame, as Python's."""
        from pyspark.sql import DataFrame

        return DataFrame(java, self.spark)

    def path(self, path: Path) -> Any:
        """A path, as Java's."""
        return self.spark._jvm.java.io.File(str(path)).toPath()

    def until_workers(self, count: int) -> None:
        """Waits until there are so many executors."""
        status = self.spark.sparkContext._jsc.sc().statusTracker()
        _until(lambda: len(status.getExecutorInfos()) == count + 1, f"{count} workers")  # the driver is one of them

    def finished_jobs(self) -> int:
        """How many of Spark's jobs have ended well."""
        store = self.spark.sparkContext._jsc.sc().statusStore()
        done = self.spark._jvm.java.util.List.of(self.spark._jvm.org.apache.spark.JobExecutionStatus.SUCCEEDED)
        return int(store.jobsList(done).size())


@contextlib.contextmanager
def session(master: str, **settings: str) -> Iterator[Jvm]:
    """A session with the port's classes on its class path, and on that of each worker."""
    import pyspark
    from pyspark.errors import IllegalArgumentException

    jar = str(programs.built(PORTS["scala"]) / "vae.jar")
    fixed = {
        "spark.driver.host": LOOPBACK,
        "spark.driver.bindAddress": LOOPBACK,
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "ERROR",
        "spark.driver.extraClassPath": jar,
        "spark.executor.extraClassPath": jar,
    }
    builder = pyspark.sql.SparkSession.builder.master(master).appName("vae-rosetta-tests")
    for name, value in {**fixed, **settings}.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    try:
        yield Jvm(spark, spark._jvm.vaerosetta.spark, IllegalArgumentException)
    finally:
        spark.stop()
        # A JVM keeps its class path and its properties: the next session gets its own.
        gateway = pyspark.SparkContext._gateway
        pyspark.SparkContext._gateway = pyspark.SparkContext._jvm = None
        gateway.shutdown()
        gateway.proc.stdin.close()
        gateway.proc.wait()


def images(jvm: Jvm, pixels: Array) -> Any:
    """Columns: number, shuffled (another order), features."""
    other = np.random.default_rng(0).permutation(len(pixels))
    rows = [(i, int(other[i]), row.tolist()) for i, row in enumerate(pixels)]
    return jvm.spark.createDataFrame(rows, "number int, shuffled int, features array<float>").cache()


def fitted(
    jvm: Jvm,
    data: Any,
    *,
    partitions: int,
    seed: int,
    epochs: int,
    batch_size: int,
    hidden: int,
    dtype: str,
    orderCol: str = "",
) -> Any:
    """The model that `VAE.train` returns."""
    vae = jvm.scala.VAE(784, 20).setHiddenDim(hidden).setSeed(seed).setEpochs(epochs).setBatchSize(batch_size)
    return vae.setDtype(dtype).setPartitions(partitions).setOrderCol(orderCol).train(data._jdf)


def step_objectives(model: Any) -> Array:
    """The training curve: the objective of every step, summed over its batch."""
    epochs = model.summary().stepObjectives()
    return np.concatenate([list(epochs.apply(i)) for i in range(epochs.size())])


class Cluster:
    """A standalone cluster: a master and two workers of one core each, processes on loopback."""

    def __init__(self, folder: Path) -> None:
        import pyspark

        self._home = Path(pyspark.__file__).parent
        self._folder = folder
        with socket.socket() as free:
            free.bind((LOOPBACK, 0))
            port = free.getsockname()[1]
        self.master = f"spark://{LOOPBACK}:{port}"
        where = ("--host", LOOPBACK)
        self._processes = [self._start("master.Master", *where, "--port", str(port), "--webui-port", "0")]
        _until(lambda: _listens(port), "the master")
        for number in range(2):
            words = ("--cores", "1", "--memory", "1g", "--webui-port", "0", "--work-dir", str(folder / str(number)))
            self._processes.append(self._start("worker.Worker", *where, *words, self.master))

    def kill_a_worker(self) -> None:
        """And the executor that it has started."""
        os.killpg(self._processes[-1].pid, signal.SIGKILL)
        self._processes[-1].wait()

    def stop(self) -> None:
        """Ends what is left of it."""
        for process in reversed(self._processes):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _start(self, name: str, *words: str) -> "subprocess.Popen[bytes]":
        command = [str(self._home / "bin/spark-class"), f"org.apache.spark.deploy.{name}", *words]
        environment = {**os.environ, "SPARK_HOME": str(self._home), "SPARK_LOCAL_IP": LOOPBACK}
        with (self._folder / "cluster.log").open("ab") as log:
            return subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)


class Tools(NamedTuple):
    """What the tests of the Scala port share."""

    session: Any = staticmethod(session)
    images: Any = staticmethod(images)
    fitted: Any = staticmethod(fitted)
    step_objectives: Any = staticmethod(step_objectives)
    cluster: Any = Cluster


@pytest.fixture(scope="session")
def spark() -> Tools:
    """Skips if the port cannot be built here."""
    if lack := PORTS["scala"].lacks():
        pytest.skip(f"scala {lack}")
    return Tools()


def _listens(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex((LOOPBACK, port)) == 0


def _until(condition: Any, what: str) -> None:
    end = time.monotonic() + _WAIT
    while not condition():
        assert time.monotonic() < end, f"{what} is not there after {_WAIT:.0f} s"
        time.sleep(0.1)
