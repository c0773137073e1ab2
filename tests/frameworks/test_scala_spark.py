"""The Scala port as Spark's users meet it: an estimator and a model, from Python through Spark's own gateway."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from vae_rosetta.shared import datasets, oracle, parameters, recipe
from vae_rosetta.shared.contract import Array
from vae_rosetta.shared.spec import Sizes

SETTINGS: Final[dict[str, Any]] = {"seed": 3, "epochs": 2, "batch_size": 96, "hidden": 50, "dtype": "float64"}


def _limit(dtype: str) -> float:
    """50 roundings: sums of some hundred terms of either sign in another order differ by a few."""
    return 50 * float(np.finfo(dtype).eps) / 2


@pytest.fixture(scope="module")
def jvm(spark: Any) -> Iterator[Any]:
    """Spark in one process beside this one."""
    with spark.session("local[2]") as found:
        yield found


@pytest.fixture(scope="module")
def pixels() -> Array:
    """400 digits (400, 784)."""
    return datasets.load("mnist-5k").train[:400]


def _oracle_curve(pixels: Array) -> Array:
    """The objective of every step, summed over its batch, by the specification."""
    sizes = Sizes(784, 50, 20)
    model = oracle.load(parameters.initial(3, sizes), dtype="float64")
    return np.concatenate([it.step_objectives for it in recipe.fit(model, pixels, seed=3, epochs=2, batch_size=96)])


def test_any_number_of_partitions_gives_the_oracles_curve(spark: Any, jvm: Any, pixels: Array) -> None:
    data, wanted = spark.images(jvm, pixels), _oracle_curve(pixels)
    curves = [spark.step_objectives(spark.fitted(jvm, data, partitions=parts, **SETTINGS)) for parts in (1, 2, 4)]
    for curve in curves:
        np.testing.assert_allclose(curve, wanted, rtol=_limit("float64"))
        np.testing.assert_allclose(curve, curves[0], rtol=_limit("float64"))


def test_a_partition_may_have_no_image_of_a_batch_or_none_at_all(spark: Any, jvm: Any, pixels: Array) -> None:
    few, settings = spark.images(jvm, pixels[:3]), {**SETTINGS, "batch_size": 2, "epochs": 3}
    curves = [spark.step_objectives(spark.fitted(jvm, few, partitions=parts, **settings)) for parts in (1, 7)]
    assert curves[0].shape == (6,)
    np.testing.assert_allclose(curves[1], curves[0], rtol=_limit("float64"))


def test_order_is_that_of_the_order_column(spark: Any, jvm: Any, pixels: Array) -> None:
    shuffled = spark.images(jvm, pixels).orderBy("shuffled")
    curve = spark.step_objectives(spark.fitted(jvm, shuffled, partitions=2, orderCol="number", **SETTINGS))
    np.testing.assert_allclose(curve, _oracle_curve(pixels), rtol=_limit("float64"))
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(
            spark.step_objectives(spark.fitted(jvm, shuffled, partitions=2, **SETTINGS)),
            _oracle_curve(pixels),
            rtol=_limit("float64"),
        )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_saved_model_transforms_as_before_and_the_oracle_reads_it(
    spark: Any, jvm: Any, pixels: Array, tmp_path: Path, dtype: str
) -> None:
    data = spark.images(jvm, pixels)
    model = spark.fitted(jvm, data, partitions=2, **{**SETTINGS, "dtype": dtype})
    model.write().overwrite().save(str(tmp_path / "model"))
    loaded = jvm.scala.VAEModel.load(str(tmp_path / "model"))
    assert (loaded.uid(), loaded.getLatentDim(), loaded.getDtype()) == (model.uid(), 20, dtype)
    assert model.hasSummary()
    assert not loaded.hasSummary()

    weights = parameters.read(tmp_path / "model" / "weights.safetensors")
    same = oracle.load(weights, dtype="float64")
    mu, logvar = same.encode(pixels)
    score = same.losses(pixels, np.zeros_like(mu)).reconstruction  # at z = mu, if there is no noise
    exact = same.reparameterize(mu, logvar, np.zeros_like(mu))
    np.testing.assert_array_equal(exact, mu)
    for it in (model, loaded):
        transformed = jvm.frame(it.transform(data._jdf))
        assert transformed.schema["mu"].metadata == {"ml_attr": {"num_attrs": 20}}
        rows = transformed.orderBy("number").select("mu", "logvar", "score").collect()
        tolerance = _limit(dtype)
        np.testing.assert_allclose([row.mu.toArray() for row in rows], mu, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose([row.logvar.toArray() for row in rows], logvar, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose([row.score for row in rows], score, rtol=tolerance)


def test_weights_of_another_port_are_read(spark: Any, jvm: Any, pixels: Array, tmp_path: Path) -> None:
    params = parameters.initial(5, Sizes(784, 30, 7))
    parameters.save(tmp_path / "weights.safetensors", params)
    model = jvm.scala.VAEModel.ofWeights(jvm.path(tmp_path / "weights.safetensors"))
    assert (model.getHiddenDim(), model.getLatentDim(), model.getDtype()) == (30, 7, "float32")
    rows = jvm.frame(model.setScoreCol("").transform(spark.images(jvm, pixels)._jdf)).orderBy("number")
    assert rows.columns == ["number", "shuffled", "features", "mu", "logvar"]
    mu, _ = oracle.load(params).encode(pixels)
    found, limit = [row.mu.toArray() for row in rows.collect()], _limit("float32")
    np.testing.assert_allclose(found, mu, rtol=limit, atol=limit)


def test_an_estimator_is_saved_with_its_params(spark: Any, jvm: Any, tmp_path: Path) -> None:
    jvm.scala.VAE(12, 3).setEpochs(7).setOrderCol("when").write().save(str(tmp_path / "vae"))
    loaded = jvm.scala.VAE.load(str(tmp_path / "vae"))
    assert (loaded.getInputDim(), loaded.getLatentDim(), loaded.getEpochs()) == (12, 3, 7)
    assert loaded.getOrderCol() == "when"
    assert "whole number" not in loaded.explainParams()
    assert "pixels of an image (>= 1)" in loaded.explainParams()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda vae: vae.setLatentDim(0), "latentDim: got 0; expected a whole number, 1 or more"),
        (lambda vae: vae.setBatchSize(-1), "batchSize: got -1; expected a whole number, 1 or more"),
        (lambda vae: vae.setPartitions(-1), "partitions: got -1; expected a whole number, 0 or more"),
        (lambda vae: vae.setDtype("half"), "dtype: got 'half'; expected one of float32, float64"),
    ],
)
def test_a_bad_param_is_refused_at_once(spark: Any, jvm: Any, change: Any, message: str) -> None:
    with pytest.raises(jvm.Error) as caught:
        change(jvm.scala.VAE(784, 20))
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ([[0.0, 1.0], [0.5, 1.5]], "features: got 1.5; expected 2 pixels in [0, 1] (image 1, counted from 0)"),
        ([[0.0, 1.0], [0.5, float("nan")]], "features: got NaN; expected 2 pixels in [0, 1] (image 1, counted from 0)"),
        ([[0.0, 1.0], [0.5]], "features: got 1 values; expected 2 pixels in [0, 1] (image 1, counted from 0)"),
        ([[0.0, 1.0], None], "features: got null; expected 2 pixels in [0, 1] (image 1, counted from 0)"),
        ([], "data: got 0 images; expected 1 to 2147483647"),
    ],
)
def test_bad_images_are_refused_by_number(spark: Any, jvm: Any, features: list[Any], message: str) -> None:
    data = jvm.spark.createDataFrame([(row,) for row in features], "features array<double>").coalesce(1)
    with pytest.raises(jvm.Error) as caught:
        jvm.scala.VAE(2, 1).train(data._jdf)
    assert str(caught.value) == message


def test_a_matrix_of_a_wrong_shape_is_refused(jvm: Any) -> None:
    gateway = jvm.spark.sparkContext._gateway
    zeros = gateway.new_array(gateway.jvm.double, 6)
    matrix = gateway.jvm.breeze.linalg.DenseMatrix(2, 3, zeros)
    with pytest.raises(jvm.Error, match=re.escape("x: got shape [2, 3]; expected [2, 784]")):
        jvm.scala.VAE(784, 20).encoder().encode(matrix)
    with pytest.raises(jvm.Error, match=re.escape("z: got shape [2, 3]; expected [2, 20]")):
        jvm.scala.VAE(784, 20).decoder().decode(matrix)
    mu = jvm.scala.VAE(3, 20).encoder().encode(matrix)._1()
    assert (mu.rows(), mu.cols()) == (2, 20)


def test_bad_columns_are_refused(spark: Any, jvm: Any) -> None:
    data = jvm.spark.createDataFrame([("a", [0.5])], "features string, mu array<float>")
    with pytest.raises(jvm.Error, match="column 'features': got string; expected vectors or arrays of numbers"):
        jvm.scala.VAE(1, 1).train(data._jdf)
    with pytest.raises(jvm.Error, match="column 'mu': got a column that the data have already; expected a new one"):
        jvm.scala.VAE(1, 1).setFeaturesCol("mu").train(data._jdf)
    with pytest.raises(jvm.Error, match="nothing"):
        jvm.scala.VAE(1, 1).setFeaturesCol("nothing").train(data._jdf)
