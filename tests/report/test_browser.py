"""A page in a browser, where there is one: nothing is wider than the window, even a narrow one."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

_BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

# The page in a frame, since a window cannot be narrower than 500 pixels; its own policy lets no script run in it.
_MEASURE = """<!DOCTYPE html><body style="margin:0">
<iframe id="frame" style="width:{width}px;height:900px;border:0" srcdoc="{page}"></iframe><pre id="found"></pre>
<script>
addEventListener("load", () => {{
  const page = document.getElementById("frame").contentDocument, wide = [];
  const width = page.documentElement.clientWidth;
  for (const element of page.body.querySelectorAll("*")) {{
    if (element.parentElement.closest(".scroll")) continue;
    const box = element.getBoundingClientRect();
    if (box.right > width + 0.5 || box.left < -0.5) wide.push(element.tagName + " " + element.textContent.slice(0, 40));
  }}
  const scrolls = [...page.querySelectorAll(".scroll")].filter(box => box.scrollWidth > box.clientWidth).length;
  const found = {{width, whole: page.documentElement.scrollWidth, elements: page.body.querySelectorAll("*").length,
    ink: page.defaultView.getComputedStyle(page.body).color, wide, scrolls}};
  document.getElementById("found").textContent = "FOUND" + JSON.stringify(found) + "END";
}});
</script>"""


def _measured(page: Path, width: int, folder: Path) -> dict[str, Any]:
    framed = folder / "framed.html"
    framed.write_text(_MEASURE.format(width=width, page=escape(page.read_text(encoding="utf-8"), quote=True)))
    switches = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")
    window = (f"--user-data-dir={folder / 'profile'}", f"--window-size={max(width, 500)},900")
    command = [str(_BROWSER), *switches, *window, "--dump-dom", framed.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search("FOUND({.*})END", done.stdout.replace("&quot;", '"').replace("&amp;", "&"))
    assert found, done.stdout[-2000:] + done.stderr[-2000:]
    measured: dict[str, Any] = json.loads(found[1])
    return measured


@pytest.mark.skipif(_BROWSER is None, reason="no Chromium here")
def test_nothing_is_wider_than_the_window(
    everything: list[object], report: Callable[..., Result], tmp_path: Path
) -> None:
    assert (
        report(*everything, "--title", "A title with averyveryverylongwordwithoutanyplacetobreakitinto").exit_code == 0
    )
    page = Path(str(everything[-1]))
    narrow = _measured(page, 360, tmp_path)
    assert narrow["width"] == narrow["whole"] == 360
    assert narrow["elements"] > 500
    assert narrow["wide"] == []
    assert narrow["scrolls"] > 0  # wide tables do, in their own boxes
    assert _measured(page, 1280, tmp_path)["wide"] == []


@pytest.mark.skipif(_BROWSER is None, reason="no Chromium here")
def test_a_page_that_is_too_wide_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<!DOCTYPE html><body><p style='width: 400px'>wide</p></body>")
    assert _measured(page, 360, tmp_path)["wide"] == ["P wide"]
