"""The scikit-learn estimators: scikit-learn's own checks, and that they are the project's model, recipe and stream."""

import doctest
import pickle
import re
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.base import clone, is_outlier_detector
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from vae_rosetta.applications import estimator as module
from vae_rosetta.applications import lending
from vae_rosetta.applications.estimator import VAEOutlierDetector, VAETransformer
from vae_rosetta.implementations import ports
from vae_rosetta.shared import oracle, parameters, recipe, stream
from vae_rosetta.shared.contract import Array
from vae_rosetta.shared.spec import Sizes
from vae_rosetta.shared.stream import Purpose

ROOT: Final = Path(__file__).parents[1]
SMALL: Final[dict[str, Any]] = {"backend": "oracle", "latent_dim": 2, "hidden_dim": 8, "epochs": 2, "score_draws": 2}
SIZES: Final = Sizes(6, 8, 2)


def data(rows: int = 50, *, dtype: str = "float64") -> npt.NDArray[Any]:
    """Rows (n, 6) in [0, 1] that float32 holds exactly."""
    return np.random.default_rng(0).random((rows, 6), dtype=np.float32).astype(dtype)


def small(kind: type[VAETransformer] = VAETransformer, **settings: Any) -> Any:
    return kind(**{**SMALL, "random_state": 7, **settings})


@parametrize_with_checks([VAETransformer(**SMALL), VAEOutlierDetector(**SMALL)])  # type: ignore[untyped-decorator]
def test_scikit_learns_checks(estimator: VAETransformer, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_fit_is_the_recipe(dtype: str) -> None:
    x = data(dtype=dtype)
    model = oracle.load(parameters.initial(7, SIZES), dtype=dtype)
    epochs = list(recipe.fit(model, x, seed=7, epochs=2, batch_size=16))
    vae = small(scaling="none", batch_size=16).fit(x)
    assert (vae.seed_, vae.backend_, vae.dtype_, vae.n_features_in_, vae.scaler_) == (7, "oracle", dtype, 6, None)
    np.testing.assert_array_equal(vae.objectives_, [epoch.objective for epoch in epochs])
    for name, value in model.params().items():
        np.testing.assert_array_equal(vae.params_[name], value, strict=True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_methods_are_what_they_say(dtype: str) -> None:
    x = data(dtype=dtype)
    vae = small(scaling="none", score_draws=3).fit(x)
    model = oracle.load(vae.params_, dtype=dtype)
    np.testing.assert_array_equal(vae.transform(x), model.encode(x)[0], strict=True)
    z = stream.normal(7, Purpose.LATENT, 0, (5, 2))
    np.testing.assert_array_equal(vae.inverse_transform(z), oracle.sigmoid(model.decode(z)), strict=True)
    np.testing.assert_array_equal(vae.sample(5), vae.inverse_transform(z), strict=True)
    np.testing.assert_array_equal(vae.sample(2), vae.sample(5)[:2])
    other = stream.normal(8, Purpose.LATENT, 0, (2, 2))
    np.testing.assert_array_equal(vae.sample(2, random_state=8), vae.inverse_transform(other))
    assert vae.score(x) == -recipe.evaluate(model, x, seed=7).objective


def test_scores_average_over_draws_that_all_rows_share() -> None:
    x = data(2500, dtype="float32")
    vae = small(scaling="none", score_draws=3, epochs=1).fit(x)
    model = oracle.load(vae.params_)
    draws = stream.normal(7, Purpose.EVALUATION, 0, (3, 2))
    losses = [model.losses(x, np.broadcast_to(draw, (len(x), 2)).copy()) for draw in draws]
    expected = -np.mean([np.add(*loss, dtype=np.float64) for loss in losses], axis=0)
    scores = vae.score_samples(x)
    assert scores.dtype == np.float64
    # The oracle computes in float64, whose sums depend on the rows beside, and rounds each loss to float32.
    np.testing.assert_allclose(scores, expected, rtol=1e-6)
    np.testing.assert_allclose(scores[1700:1703], vae.score_samples(x[1700:1703]), rtol=1e-6)


def test_another_precision_gives_the_same_transform() -> None:
    x = data(dtype="float32")
    single, double = (small(dtype=dtype, scaling="none").fit_transform(x) for dtype in ("float32", "float64"))
    assert (single.dtype, double.dtype) == (np.float32, np.float64)
    # The demo's limit for the first 32 steps in float32; these are 2.
    np.testing.assert_allclose(single, double, rtol=1e-4, atol=1e-4 * np.abs(double).max())
    assert not np.array_equal(single, double.astype(np.float32)), "nothing was rounded: one precision was never used"


def test_scaling_brings_each_feature_to_the_unit_interval_and_back() -> None:
    x = data()
    units = x * [1, 10, 100, 1, 1, 0] + [0, 5, -50, 0, 0, 3]  # the last is constant
    vae = small().fit(units)
    low, high = units.min(axis=0), units.max(axis=0)
    scaled = np.divide(units - low, high - low, out=np.zeros_like(units), where=high > low)
    bare = small(scaling="none").fit(scaled)
    np.testing.assert_allclose(vae.transform(units), bare.transform(scaled), rtol=1e-9)
    decoded = low + bare.inverse_transform(bare.transform(scaled)) * (high - low)
    np.testing.assert_allclose(vae.inverse_transform(vae.transform(units)), decoded, rtol=1e-9)
    np.testing.assert_allclose(vae.sample(3), low + bare.sample(3) * (high - low), rtol=1e-9)
    assert np.all(vae.sample(3)[:, 5] == 3)
    far = np.array([1e6, 1e6, 1e6, 1e6, 1e6, 0])
    clipped = vae.transform(np.vstack([low, high]))
    np.testing.assert_allclose(vae.transform(np.vstack([low - far, high + far])), clipped, rtol=1e-9)
    moved = vae.transform(low[np.newaxis] + [0, 0, 0, 0, 0, 0.25])
    np.testing.assert_allclose(moved, bare.transform([[0, 0, 0, 0, 0, 0.25]]), rtol=1e-9)


def test_without_scaling_the_unit_interval_is_expected_and_data_stay_as_they_are() -> None:
    x = data()
    before = x.copy()
    vae = small(scaling="none").fit(x)
    np.testing.assert_array_equal(x, before)
    assert x.flags.writeable
    x[3, 1] = 1.5
    for refusing in (vae.fit, vae.transform, vae.score_samples, vae.score):
        with pytest.raises(ValueError, match=r"^X: got values from \S+ to 1\.5; expected \[0, 1\] with scaling='none'"):
            refusing(x)


def test_random_states_are_scikit_learns() -> None:
    x = data()
    first = small().fit(x)
    np.testing.assert_array_equal(first.transform(x), first.fit(x).transform(x))
    assert small(random_state=2**63).fit(x).seed_ == 2**63
    seeds = [small(random_state=np.random.RandomState(3)).fit(x).seed_ for _ in range(2)]
    assert seeds[0] == seeds[1]
    vae = small(random_state=np.random.RandomState(3))
    assert vae.fit(x).seed_ != vae.fit(x).seed_
    assert small(random_state=None).fit(x).seed_ != small(random_state=None).fit(x).seed_


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"backend": "caffe"}, ValueError, "backend: got 'caffe'; expected one of torch, tensorflow, jax, oracle"),
        ({"latent_dim": 0}, ValueError, "latent_dim: got 0; expected a whole number, 1 or more"),
        ({"hidden_dim": 2.0}, TypeError, "hidden_dim: got 2.0 (float); expected a whole number, 1 or more"),
        ({"epochs": 0}, ValueError, "epochs: got 0; expected a whole number, 1 or more"),
        ({"batch_size": True}, TypeError, "batch_size: got True (bool); expected a whole number, 1 or more"),
        ({"score_draws": None}, TypeError, "score_draws: got None (NoneType); expected a whole number, 1 or more"),
        ({"scaling": None}, ValueError, "scaling: got None; expected one of minmax, none"),
        ({"dtype": "float16"}, ValueError, "dtype: got 'float16'; expected one of auto, float32, float64"),
        ({"device": "tpu"}, ValueError, "device: got 'tpu'; expected one of auto, cpu, cuda"),
        (
            {"random_state": -1},
            ValueError,
            "random_state: got -1; expected a whole number from 0 to 2**64 - 1, a RandomState or None",
        ),
        (
            {"random_state": "x"},
            TypeError,
            "random_state: got 'x' (str); expected a whole number from 0 to 2**64 - 1, a RandomState or None",
        ),
        ({"contamination": 0}, ValueError, "contamination: got 0; expected a number above 0 and at most 0.5"),
        ({"contamination": 0.51}, ValueError, "contamination: got 0.51; expected a number above 0 and at most 0.5"),
        ({"contamination": float("nan")}, ValueError, "contamination: got nan; expected"),
        ({"contamination": "auto"}, TypeError, "contamination: got 'auto'; expected a number above 0 and at most 0.5"),
    ],
    ids=str,
)
def test_bad_parameter_is_named(settings: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match="^" + re.escape(message)):
        small(VAEOutlierDetector, **settings).fit(data())


def test_bad_argument_is_named() -> None:
    vae = small().fit(data())
    with pytest.raises(ValueError, match=r"^Z: got 3 columns; expected 2, as transform returns"):
        vae.inverse_transform(np.zeros((1, 3)))
    with pytest.raises(ValueError, match="Z contains NaN"):
        vae.inverse_transform([[np.nan, 0]])
    with pytest.raises(ValueError, match=r"^n_samples: got 0; expected a whole number, 1 or more"):
        vae.sample(0)


def test_objective_that_is_not_finite_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def diverging(*_: Any, **__: Any) -> Any:
        for number, objective in enumerate([1.0, np.nan, 1.0], start=1):
            yield recipe.Epoch(number, np.array([objective]), objective, 1.0, 1.0, None)

    x = data()
    fitted = small(VAEOutlierDetector).fit(x)
    z = fitted.transform(x)
    monkeypatch.setattr(recipe, "fit", diverging)
    for detector in (fitted.set_params(random_state=1, hidden_dim=3, scaling="none"), small(VAEOutlierDetector)):
        with pytest.raises(FloatingPointError, match=r"^epoch 2: the objective is not finite$"):
            detector.fit(x)
        with pytest.raises(NotFittedError):
            detector.predict(x)
    np.testing.assert_array_equal(fitted.transform(x), z)
    with pytest.raises(NotFittedError):
        detector.transform(x)


@pytest.mark.parametrize("contamination", [0.02, 0.1, 0.5])
def test_contamination_is_the_share_that_is_flagged(contamination: float) -> None:
    x = data(200)
    detector = small(VAEOutlierDetector, contamination=contamination)
    flagged = detector.fit_predict(x) == -1
    assert flagged.sum() == round(200 * contamination)
    scores = detector.score_samples(x)
    assert scores[flagged].max() < detector.offset_ <= scores[~flagged].min()
    np.testing.assert_array_equal(detector.decision_function(x), scores - detector.offset_)
    assert is_outlier_detector(detector)
    assert not is_outlier_detector(small())


def test_detector_is_the_transformer_too() -> None:
    x = data()
    np.testing.assert_array_equal(small(VAEOutlierDetector).fit_transform(x), small().fit_transform(x))


def test_search_over_a_pipeline() -> None:
    x, y = load_digits(n_class=2, return_X_y=True)
    vae = small(hidden_dim=32, epochs=5, batch_size=16, scaling="none")
    search = GridSearchCV(make_pipeline(vae, LogisticRegression()), {"vaetransformer__latent_dim": [1, 3]}, cv=2)
    search.fit(x / 16, y)
    assert search.best_score_ > 0.9, "a representation of noughts and ones keeps them apart"
    latents = search.best_params_["vaetransformer__latent_dim"]
    assert search.best_estimator_[:-1].transform(x / 16).shape == (len(x), latents)


def test_search_without_labels_goes_by_the_evidence() -> None:
    x = data(60)
    scores = cross_val_score(small(), x, cv=3)
    fold = small().fit(x[20:])
    assert scores[0] == fold.score(x[:20])
    search = GridSearchCV(small(scaling="none"), {"epochs": [1, 60]}, cv=2).fit(x)
    assert search.best_params_ == {"epochs": 60}


def test_clone_is_not_fitted_and_alike() -> None:
    detector = small(VAEOutlierDetector, contamination=0.25).fit(data())
    copy = clone(detector)
    assert copy.get_params() == detector.get_params()
    assert not hasattr(copy, "params_")


def test_pickle_holds_arrays_and_no_model() -> None:
    x = data()
    detector = small(VAEOutlierDetector).fit(x)
    scores, z = detector.score_samples(x), detector.transform(x)
    pickled = pickle.dumps(detector)
    assert b"vae_rosetta.shared.oracle" not in pickled
    lending._slots.clear()  # as in another process
    again = pickle.loads(pickled)
    np.testing.assert_array_equal(again.score_samples(x), scores)
    np.testing.assert_array_equal(again.transform(x), z)


def test_fitted_model_can_move_to_another_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    x = data()
    vae = small().fit(x)
    z = vae.transform(x)
    elsewhere = ports.Port("elsewhere", "Python", "vae_rosetta.shared.oracle")
    monkeypatch.setattr(ports, "PORTS", {"elsewhere": elsewhere})
    lending._slots.clear()
    with pytest.raises(ValueError, match=r"^backend: got 'oracle'; expected one of elsewhere$"):
        vae.transform(x)
    vae.backend_ = "elsewhere"
    np.testing.assert_array_equal(vae.transform(x), z)


def test_default_backend_is_the_first_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "installed", lambda: ["oracle", "none of the others"])
    assert small(backend=None).fit(data()).backend_ == "oracle"


@pytest.mark.parametrize("scaling", module.SCALINGS)
def test_training_data_are_let_go(scaling: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[weakref.ref[Array]] = []
    fit = recipe.fit

    def watching(model: Any, x: Array, **settings: Any) -> Any:
        seen.append(weakref.ref(x))
        return fit(model, x, **settings)

    monkeypatch.setattr(recipe, "fit", watching)
    vae = small(scaling=scaling).fit(data())
    assert [x() for x in seen] == [None]
    assert vae.params_.keys() == set(parameters.initial(0, SIZES))


def test_columns_have_names() -> None:
    x = data()
    vae = small().set_output(transform="pandas")
    frame = vae.fit_transform(x)
    assert list(frame.columns) == list(vae.get_feature_names_out()) == ["vaetransformer0", "vaetransformer1"]
    named = small().fit(frame.rename(columns=str.upper))
    assert list(named.feature_names_in_) == ["VAETRANSFORMER0", "VAETRANSFORMER1"]


def test_without_scikit_learn_the_cure_is_told() -> None:
    code = "import sys; sys.modules['sklearn'] = None; import vae_rosetta.applications.estimator"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "ModuleNotFoundError: vae_rosetta.applications.estimator needs scikit-learn; "
        "try: pip install 'vae-rosetta[app]'"
    )


def test_examples_in_the_docstrings() -> None:
    results = doctest.testmod(module)
    assert results.attempted >= 10
    assert results.failed == 0


def test_example_in_the_readme(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    section = (
        (ROOT / "docs/using.md").read_text(encoding="utf-8").partition("## In scikit-learn\n")[2].partition("\n## ")[0]
    )
    (block,) = re.findall(r"^```python\n(.*?)^```$", section, flags=re.DOTALL | re.MULTILINE)
    monkeypatch.setattr(ports, "installed", lambda: ["oracle"])
    exec(compile(block, "README.md", "exec"), {})
    assert float(capsys.readouterr().out) > 0.8
