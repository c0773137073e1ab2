"""`vae evaluate anomaly`."""

from pathlib import Path
from typing import Any

import click

from vae_rosetta.applications.commands import options


class _Digits(click.ParamType[tuple[int, ...]]):
    name = "digits"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return tuple(dict.fromkeys(int(word) for word in str(value).split(",")))
        except ValueError:
            self.fail(f"{value!r} is no list of digits, such as 0,1.", param, context)


@click.command()
@options.backend
@click.option("--data", default="mnist", show_default=True, help="mnist, mnist-5k, or an .npz file with labels.")
@options.data_dir
@click.option("--epochs", type=options.WHOLE, default=10, show_default=True, help="Of each training.")
@click.option(
    "--seeds", type=options.WHOLE, default=1, show_default=True, help="Trainings for each digit, from seed 0."
)
@click.option(
    "--digits", type=_Digits(), default="0,1,2,3,4,5,6,7,8,9", show_default=True, help="To leave out in turn."
)
@click.option("--samples", type=options.WHOLE, default=16, show_default=True, help="Samples of z for an image.")
@click.option("--resamples", type=options.WHOLE, default=1000, show_default=True, help="Of the intervals' bootstrap.")
@click.option("--latent-dim", type=options.WHOLE, default=20, show_default=True, help="Latents.")
@click.option("--hidden-dim", type=options.WHOLE, default=400, show_default=True, help="Hidden units.")
@options.device
@click.option(
    "--keep", type=options.PATH, metavar="DIR", help="Keep the models there; those there are not trained again."
)
@click.option("--out", type=options.PATH, default="anomaly.json", show_default=True, help="A .json file.")
@options.force
def anomaly(backend: str | None, out: Path, force: bool, **settings: Any) -> None:
    """Leave one digit out, and see how well the scores find it.

    For each digit a model is trained on the others' images and scores all test images. The table has the area under the
    ROC curve and under the precision-recall curve, beside two baselines and published results; the .json file also has
    intervals and the rate of false alarms at 95 % found.
    """
    from vae_rosetta.applications.detection import leave_one_out

    chosen = leave_one_out.Settings(backend=backend or options.default_backend(), **settings)
    leave_one_out.run(chosen, out=out, force=force)
