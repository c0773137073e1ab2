"""Charts and strips of images: that what is drawn is where the numbers say."""

import base64
import io
import re

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from vae_rosetta.applications.report import charts, gallery, strips
from vae_rosetta.applications.report.charts import Bar, Dot, Line, Points


def _points(path: str) -> npt.NDArray[np.float64]:
    """The points of a path of straight lines, (n, 2)."""
    return np.array([[float(number) for number in point.split()] for point in path[1:].split("L")])


def test_lines_are_where_their_numbers_are() -> None:
    series = [Line("a", 0, np.array([1.0, 2.0, 3.0]), np.array([5.0, 7.0, 9.0])), Line("b", 1, np.ones(1), np.ones(1))]
    svg = charts.lines(series, "x", "y", "about")
    points = _points(re.findall(r' d="(M[^"]*L[^"]*)"', svg)[0])
    assert np.allclose(np.diff(points[:, 0]), (points[2, 0] - points[0, 0]) / 2, atol=0.11)
    assert np.allclose(np.diff(points[:, 1]), (points[2, 1] - points[0, 1]) / 2, atol=0.11)
    assert points[2, 1] < points[0, 1]  # upwards
    assert points.min() > 0
    assert points[:, 0].max() <= charts.WIDTH
    assert points[:, 1].max() <= charts.HEIGHT


def test_powers_of_ten_are_evenly_spaced_on_a_logarithmic_axis() -> None:
    line = Line("a", 0, np.arange(5.0), np.array([1e-8, 1e-6, 1e-4, 0.0, np.nan]))
    points = _points(re.findall(r' d="(M[^"]*L[^"]*)"', charts.lines([line], "x", "y", "", log=True))[0])
    assert len(points) == 3  # neither 0 nor what is no number
    assert points[0, 1] - points[1, 1] == pytest.approx(points[1, 1] - points[2, 1], abs=0.11)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("values", [[], [np.nan], [0.0, 0.0], [1.0], [np.inf, 2.0]])
def test_what_cannot_be_drawn_is_left_out(values: list[float], log: bool) -> None:
    line = Line("a", 0, np.arange(float(len(values))), np.array(values, dtype=np.float64))
    svg = charts.lines([line], "x", "y", "about", log=log)
    assert "nan" not in svg
    assert "inf" not in svg


def test_axes_of_whole_numbers_have_no_others() -> None:
    svg = charts.lines([Line("a", 0, np.array([1.0]), np.array([2.0]))], "epoch", "y", "")
    assert re.findall(r'class="tick mid"[^>]*>([^<]+)<', svg) == ["1"]


def test_bars_are_as_long_as_their_numbers() -> None:
    bars = [Bar("a", 1.0, "1", 0, mark=2.0), Bar("b", 4.0, "4", 1, low=2.0, high=4.0), Bar("none", float("nan"), "", 2)]
    svg = charts.bars(bars, "about")
    first, second, third = (float(width) for width in re.findall(r'width="([\d.]+)" height', svg))
    assert second == pytest.approx(4 * first, abs=0.3)
    assert third == 0.0
    mark = float(re.findall(r'class="mark" d="M([\d.]+)', svg)[0])
    assert mark == pytest.approx(2 * first, abs=0.2)
    low, high = map(float, re.findall(r'class="whisker" d="M([\d.]+) [\d.]+H([\d.]+)', svg)[0])
    assert [low, high] == pytest.approx([second / 2, second], abs=0.2)


def test_long_names_are_cut() -> None:
    svg = charts.bars([Bar("x" * 500, 1.0, "1", 0)], "about")
    assert "x" * 45 + "…<" in svg


def test_a_map_has_every_point_and_equal_units() -> None:
    square = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 5.0]])
    svg = charts.scatter([Points("a", 0, square), Points("b", 1, square + 1.0)], "x", "y", "", named=True)
    clouds = re.findall(r'class="cloud c\d" d="([^"]+)"', svg)
    first = np.array([[float(n) for n in point.split()] for point in clouds[0].removesuffix("h0")[1:].split("h0M")])
    assert first.shape == (3, 2)
    across, up = first[1, 0] - first[0, 0], first[0, 1] - first[2, 1]
    assert across == pytest.approx(2 * up, abs=2)
    assert re.findall(r'<text class="class"[^>]*>(\w)<', svg) == ["a", "b"]


def test_dots_stand_between_nothing_and_the_limit() -> None:
    rows = [("row", [Dot(value, 0, str(value)) for value in (0.0, 0.5, 1.0, 7.0)])]
    svg = charts.dots(rows, 1.0, "x", "about")
    zero, half, one, beyond = (float(x) for x in re.findall(r'<circle class="dot s0" cx="([\d.]+)"', svg))
    assert half == pytest.approx((zero + one) / 2, abs=0.1)
    assert beyond == one < charts.WIDTH


def test_text_in_a_chart_is_escaped() -> None:
    evil = '"><script>'
    one = np.ones(1)
    for svg in (
        charts.lines([Line(evil, 0, one, one)], evil, evil, evil),
        charts.bars([Bar(evil, 1.0, evil, 0)], evil),
        charts.dots([(evil, [Dot(0.5, 0, evil)])], 1.0, evil, evil),
        charts.columns([1.0], 0, evil, evil, evil),
        charts.scatter([Points(evil, 0, np.ones((2, 2)))], evil, evil, evil, named=True),
    ):
        assert "<script>" not in svg
        assert "&lt;script&gt;" in svg


def test_a_strip_is_a_picture_of_its_images() -> None:
    images = np.stack([np.zeros(4), np.ones(4)])
    strip = strips.strip("label", "alt", images, (2, 2))
    kind, _, coded = strip.source.partition(",")
    assert kind == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(coded))) as picture:
        assert picture.size == (strip.width, strip.height)
        pixels = np.asarray(picture.convert("L"))
    assert pixels[strip.height // 2, strip.width // 4] == 0
    assert pixels[strip.height // 2, 3 * strip.width // 4] == 255


@pytest.mark.parametrize(("difference", "scale"), [(0.093, 10.0), (2e-7, 1e6), (0.0, 1.0), (1.0, 1.0)])
def test_differences_are_magnified_by_a_power_of_ten(difference: float, scale: float) -> None:
    rows = [np.zeros((1, 4)), np.array([[0.0, difference, difference / 2, 0.0]]), np.zeros((1, 4))]
    magnified, times, greatest = strips.magnified(rows)
    assert [times, greatest] == pytest.approx([scale, difference])
    assert magnified[0].tolist() == pytest.approx([0.0, difference * scale, difference * scale / 2, 0.0])


def test_principal_axes_are_found_with_their_share() -> None:
    random = np.random.default_rng(0)
    means = random.standard_normal((500, 4)) * [0.1, 3.0, 0.1, 1.0] + 5.0
    centre, axes, share = gallery.principal_plane(means)
    assert centre == pytest.approx(means.mean(axis=0))
    assert np.abs(axes).argmax(axis=1).tolist() == [1, 3]
    assert (axes[[0, 1], [1, 3]] > 0.9).all()  # positive, whatever the library chose
    variances = means.var(axis=0)
    assert share == pytest.approx((variances[1] + variances[3]) / variances.sum(), abs=1e-3)
