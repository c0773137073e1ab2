"""`python -m conformance.explainer`: the causes that can be named, as a Markdown table."""

from vae_rosetta.conformance.explainer import table

print(table(), end="")
