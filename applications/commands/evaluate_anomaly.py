"""`vae evaluate anomaly`."""

from pathlib import Path
from typing import Any

import click

from vae_rosetta.applications import outputs
from vae_rosetta.applications.commands import options
from vae_rosetta.shared.command_line import WHOLE, Command


class _Digits(click.ParamType[tuple[int, ...]]):
    name = "digits"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return tuple(dict.fromkeys(int(word) for word in str(value).split(",")))
        except ValueError:
            self.fail(f"{value!r} is no list of digits, such as 0,1.", param, context)


@click.command(
    cls=Command,
    examples=("vae evaluate anomaly --data mnist --keep runs/left-out",),
)
@options.backend
@click.option(
    "--data",
    default="mnist",
    show_default=True,
    help="Take these images: mnist, mnist-5k, or an .npz file with labels.",
)
@options.data_dir
@click.option("--epochs", type=WHOLE, default=10, show_default=True, help="Train each model for N epochs.")
@click.option(
    "--seeds",
    type=WHOLE,
    default=1,
    show_default=True,
    help="Train N models for each digit, with the seeds from 0 on.",
)
@click.option(
    "--digits",
    type=_Digits(),
    default="0,1,2,3,4,5,6,7,8,9",
    show_default=True,
    help="Leave out each of these in turn.",
)
@click.option("--samples", type=WHOLE, default=16, show_default=True, help="Draw N samples of z for each image.")
@click.option("--resamples", type=WHOLE, default=1000, show_default=True, help="Resample N times for the intervals.")
@click.option("--latent-dim", type=WHOLE, default=20, show_default=True, help="Give the models N latents.")
@click.option("--hidden-dim", type=WHOLE, default=400, show_default=True, help="Give each hidden layer N units.")
@options.device
@click.option(
    "--keep",
    type=options.PATH,
    metavar="DIR",
    help="Keep the models in DIR. Those that are there already are not trained again.",
)
@click.option("--out", type=options.PATH, default=outputs.ANOMALY.file, show_default=True, help=options.out_json)
@options.force
def anomaly(backend: str | None, out: Path, force: bool, **settings: Any) -> None:
    """Measure how well the scores find a digit that was left out.

    For each digit, a model is trained on the images of the others and scores all test images. The table shows the area
    under the ROC curve and under the precision-recall curve, beside two baselines and published results. The .json file
    also has intervals, and the rate of false alarms where 95 % of the anomalies are found.
    """
    from vae_rosetta.applications.detection import leave_one_out

    chosen = leave_one_out.Settings(backend=backend or options.default_backend(), **settings)
    leave_one_out.run(chosen, out=out, force=force)
