"""The metrics are scikit-learn's, for the images themselves and for every resample of them."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from vae_rosetta.applications.detection import baselines, metrics
from vae_rosetta.applications.detection.published import PUBLISHED
from vae_rosetta.applications.detection.scores import Scores


def example(ties: bool) -> tuple[Scores, metrics.Anomalous]:
    random = np.random.default_rng(0)
    anomalous = random.random(400) < 0.2
    values = random.normal(size=400) + anomalous
    return (np.round(values) if ties else values), anomalous


@pytest.mark.parametrize("ties", [False, True])
def test_a_resample_is_judged_as_scikit_learn_would(ties: bool) -> None:
    values, anomalous = example(ties)
    weights = metrics.resampled(np.random.default_rng(1), anomalous, 20)
    found = metrics._Ranking(values, anomalous).metrics(weights)
    for i, weight in enumerate(weights.astype(int)):
        rows = np.repeat(np.arange(len(values)), weight)
        kind, drawn = anomalous[rows], values[rows]
        fpr, tpr, _ = roc_curve(kind, drawn, drop_intermediate=False)
        assert found["auroc"][i] == pytest.approx(roc_auc_score(kind, drawn))
        assert found["auprc"][i] == pytest.approx(average_precision_score(kind, drawn))
        assert found["fpr_at_95_tpr"][i] == pytest.approx(fpr[np.argmax(tpr >= 0.95)])


def test_resamples_are_stratified() -> None:
    _, anomalous = example(False)
    weights = metrics.resampled(np.random.default_rng(0), anomalous, 50)
    assert (weights[:, anomalous].sum(axis=1) == anomalous.sum()).all()
    assert (weights[:, ~anomalous].sum(axis=1) == (~anomalous).sum()).all()
    assert 0.3 < (weights == 0).mean() < 0.43  # 1/e of the images are left out


@pytest.mark.parametrize("ties", [False, True])
def test_values_and_intervals(ties: bool) -> None:
    values, anomalous = example(ties)
    found = metrics.evaluate(values, anomalous, resamples=200)
    assert found["auroc"].value == roc_auc_score(anomalous, values)
    assert found["auprc"].value == average_precision_score(anomalous, values)
    for estimate in found.values():
        assert estimate.low <= estimate.value <= estimate.high
        assert estimate.high > estimate.low
    assert found == metrics.evaluate(values, anomalous, resamples=200)
    assert found != metrics.evaluate(values, anomalous, resamples=200, seed=1)


def test_the_interval_has_the_width_that_theory_gives() -> None:
    random = np.random.default_rng(0)
    anomalous = np.arange(2000) < 1000
    found = metrics.evaluate(random.normal(size=2000), anomalous, resamples=500)["auroc"]
    expected = 2 * 1.96 * np.sqrt((1000 + 1000 + 1) / (12 * 1000 * 1000))  # Mann-Whitney, no difference
    assert found.high - found.low == pytest.approx(expected, rel=0.2)


def test_perfect_inverted_and_constant_scores() -> None:
    anomalous = np.arange(100) >= 90
    perfect = metrics.evaluate(anomalous.astype(float), anomalous, resamples=10)
    assert [perfect[name].value for name in metrics.METRICS] == [1.0, 1.0, 0.0]
    inverted = metrics.evaluate(-anomalous.astype(float), anomalous, resamples=10)
    assert (inverted["auroc"].value, inverted["fpr_at_95_tpr"].value) == (0.0, 1.0)
    constant = metrics.evaluate(np.zeros(100), anomalous, resamples=10)
    assert [constant[name].value for name in ("auroc", "auprc")] == pytest.approx([0.5, 0.1])


@pytest.mark.parametrize("count", [0, 100])
def test_one_kind_alone_is_told(count: int) -> None:
    with pytest.raises(ValueError, match=f"^anomalous: got {count} anomalies of 100 images; expected some of each"):
        metrics.evaluate(np.zeros(100), np.arange(100) < count)


def test_pca_finds_what_lies_off_its_plane() -> None:
    random = np.random.default_rng(0)
    plane = random.normal(size=(2, 30))
    train = random.normal(size=(200, 2)) @ plane
    inside, outside = random.normal(size=(10, 2)) @ plane, random.normal(size=(10, 30))
    found = baselines.pca_error(train, np.concatenate([inside, outside]), components=2)
    assert found[:10].max() < 1e-20 < 1.0 < found[10:].min()
    assert baselines.ink(np.array([[0.0, 0.5], [1.0, 1.0]])).tolist() == [0.25, 1.0]


def test_published_columns_have_their_published_means() -> None:
    means = {(column.name, column.metric): column.mean() for column in PUBLISHED}
    assert means["VAE, 2-d", "auroc"] == pytest.approx(0.855, abs=5e-4)
    assert means["VAE, 32-d", "auroc"] == pytest.approx(0.718, abs=5e-4)
    assert all(column.source and set(column.values) <= set(range(10)) for column in PUBLISHED)
