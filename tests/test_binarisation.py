"""Grey pixels made black and white: by their grey value, reproducibly, and without touching what is black or white.

And what the data of a figure are called.
"""

import math
from collections.abc import Callable

import numpy as np
import pytest

from vae_rosetta.shared import binarisation, stream
from vae_rosetta.shared.binarisation import Protocol
from vae_rosetta.shared.contract import Array
from vae_rosetta.shared.stream import Purpose

DRAWS: dict[str, tuple[Purpose, Callable[..., Array]]] = {
    "dynamic": (Purpose.BINARISATION, binarisation.dynamic),
    "drawn": (Purpose.BINARISED_DRAW, binarisation.drawn),
}


@pytest.fixture
def grey() -> Array:
    """2,500 images of 7 pixels, which no chunk divides; every 5th pixel black, every 7th white."""
    x = stream.uniform(0, Purpose.VECTORS, 0, 2500 * 7).astype(np.float32)
    x[::5], x[::7] = 0.0, 1.0
    return x.reshape(2500, 7)


@pytest.mark.parametrize("name", DRAWS)
def test_a_pixel_is_one_where_its_uniform_is_below_its_grey(name: str, grey: Array) -> None:
    purpose, draw = DRAWS[name]
    expected = stream.uniform(3, purpose, 9, grey.size).reshape(grey.shape) < grey
    drawn = draw(grey, 3, 9)
    np.testing.assert_array_equal(drawn, expected.astype(np.float32), strict=True)
    assert not drawn[grey == 0].any()
    assert drawn[grey == 1].all()


@pytest.mark.parametrize("name", DRAWS)
def test_on_average_it_is_the_grey_image(name: str, grey: Array) -> None:
    """Over 200 draws; the total within 5.2 standard errors (2e-7)."""
    draw = DRAWS[name][1]
    x = grey[:100]
    total = sum(float(draw(x, 0, i).sum()) for i in range(200))
    deviation = math.sqrt(200 * float((x * (1 - x)).sum()))
    assert abs(total - 200 * float(x.sum())) < 5.2 * deviation


def test_draws_differ_by_seed_and_number_and_use(grey: Array) -> None:
    draws = [draw(grey, seed, i) for _, draw in DRAWS.values() for seed in (0, 1) for i in (0, 1)]
    for i, one in enumerate(draws):
        for other in draws[:i]:
            assert 0.1 < np.mean(one != other) < 0.4  # 2 x (1 - x) on average, a third, where a pixel is grey


def test_rounding_goes_up_from_one_half() -> None:
    x = np.array([[0.0, 0.25, np.nextafter(np.float32(0.5), np.float32(0)), 0.5, 1.0]], dtype=np.float32)
    assert binarisation.rounded(x).tolist() == [[0, 0, 0, 1, 1]]


def test_binary_is_told_from_grey(grey: Array) -> None:
    assert binarisation.is_binary(binarisation.rounded(grey))
    assert not binarisation.is_binary(grey)
    assert not binarisation.is_binary(np.array([[0.0, 1.0, np.nan]]))


def test_each_protocol_names_what_it_makes(grey: Array) -> None:
    found = {name: Protocol(name, 3) for name in binarisation.CHOICES}
    assert {name: p.words(grey) for name, p in found.items()} == {
        "none": "grey",
        "drawn": "dynamic-binarised (one draw, seed 3)",
        "rounded": "rounded",
    }
    assert found["none"].apply(grey) is grey
    np.testing.assert_array_equal(found["drawn"].apply(grey), binarisation.drawn(grey, 3))
    np.testing.assert_array_equal(found["rounded"].apply(grey), binarisation.rounded(grey))


@pytest.mark.parametrize("name", binarisation.CHOICES)
def test_bits_stay_what_they_are(name: str, grey: Array) -> None:
    bits = binarisation.rounded(grey)
    np.testing.assert_array_equal(Protocol(name, 3).apply(bits), bits)
    assert Protocol(name, 3).words(bits) == "binary as given"


def test_a_run_is_tested_on_what_it_was_trained_on() -> None:
    assert [binarisation.trained_on(binarise) for binarise in binarisation.TRAINABLE] == ["grey", "dynamic-binarised"]
    assert binarisation.held_out("none", 4) == Protocol("none")
    assert binarisation.held_out("dynamic", 4) == Protocol("drawn", 4)


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^binarise: got 'static'; expected one of none, drawn, rounded"):
        Protocol("static")
    with pytest.raises(ValueError, match=r"^binarise: got 'static'; expected one of none, dynamic"):
        binarisation.trained_on("static")
