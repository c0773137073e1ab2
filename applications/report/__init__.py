"""`vae report`: one page that shows what runs came to, to be read without a network or JavaScript.

`sources` reads runs and result files; `overview`, `curves`, `gallery`, `results`, `anomaly`, `conformance` and `speed`
make a section each, out of the `blocks` that the template knows, `charts` and `strips` of images; `command` puts them
together.
"""
