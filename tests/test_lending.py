"""Models that are lent: one per kind, always with the borrower's parameters, one borrower at a time."""

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from vae_rosetta.applications import lending
from vae_rosetta.applications.lending import Kind, lent
from vae_rosetta.shared import oracle, parameters, recipe
from vae_rosetta.shared.contract import Array
from vae_rosetta.shared.spec import Sizes

SIZES = Sizes(6, 4, 2)
KIND = Kind("oracle", SIZES, "float32", "auto")
FIRST, SECOND = parameters.initial(1, SIZES), parameters.initial(2, SIZES)


@pytest.fixture(autouse=True)
def loads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Kind]]:
    """No model yet; the list of those loaded since."""
    loaded = []
    load = oracle.load

    def counting(params: Any, *, dtype: str, device: str) -> oracle.Oracle:
        loaded.append(Kind("oracle", parameters.sizes_of(params), dtype, device))
        return load(params, dtype=dtype, device=device)

    lending._slots.clear()
    monkeypatch.setattr(oracle, "load", counting)
    yield loaded
    lending._slots.clear()


def train(model: Any) -> dict[str, Array]:
    x = np.random.default_rng(0).random((10, 6))
    list(recipe.fit(model, x, seed=0, epochs=2, batch_size=4))
    return dict(model.params())


def assert_equal(left: dict[str, Array], right: dict[str, Array]) -> None:
    assert left.keys() == right.keys()
    for name, value in left.items():
        np.testing.assert_array_equal(value, right[name], strict=True)


def test_one_model_takes_turns(loads: list[Kind]) -> None:
    for params in (FIRST, FIRST, SECOND, FIRST):
        with lent(KIND, params) as model:
            assert_equal(model.params(), params)
    assert loads == [KIND]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_training_starts_as_in_a_fresh_model(dtype: str, loads: list[Kind]) -> None:
    kind = KIND._replace(dtype=dtype)
    expected = train(oracle.Oracle(FIRST, dtype))
    for params in (SECOND, FIRST, FIRST):
        with lent(kind, params, to_train=True) as model:
            trained = train(model)
    assert_equal(trained, expected)
    assert len(loads) == 1


def test_what_training_leaves_is_nobodys() -> None:
    with lent(KIND, FIRST, to_train=True) as model:
        train(model)
    with lent(KIND, FIRST) as model:
        assert_equal(model.params(), FIRST)


def test_training_that_fails_leaves_nothing_behind() -> None:
    def broken_off() -> None:
        with lent(KIND, FIRST, to_train=True) as model:
            train(model)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken_off()
    with lent(KIND, FIRST) as model:
        assert_equal(model.params(), FIRST)


def test_kinds_do_not_mix_and_the_least_recent_goes(loads: list[Kind]) -> None:
    kinds = [KIND._replace(sizes=Sizes(6, 4, latents)) for latents in range(1, 6)]
    for kind in (*kinds, *kinds[1:], kinds[0]):
        with lent(kind, parameters.initial(0, kind.sizes)) as model:
            assert parameters.sizes_of(model.params()) == kind.sizes
    assert loads == [*kinds, kinds[0]]
    with lent(kinds[-1]._replace(dtype="float64"), parameters.initial(0, kinds[-1].sizes)) as model:
        assert model.params()["encoder.fc1.bias"].dtype == np.float64


def test_threads_wait_for_one_another() -> None:
    found: list[bool] = []

    def use(params: dict[str, Array]) -> None:
        for _ in range(20):
            with lent(KIND, params) as model:
                found.append(all(np.array_equal(value, params[name]) for name, value in model.params().items()))

    threads = [threading.Thread(target=use, args=(params,)) for params in (FIRST, SECOND)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 40


def test_backend_that_is_not_there_is_told() -> None:
    with (
        pytest.raises(ValueError, match=r"^backend: got 'caffe'; expected one of"),
        lent(KIND._replace(backend="caffe"), FIRST),
    ):
        pass
