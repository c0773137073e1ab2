"""Lossless compression of binary images: bits-back coding (Townsend, Bird & Barber 2019) with an exact integer network.

| module         | what                                                                                    |
|----------------|-----------------------------------------------------------------------------------------|
| `tables`       | probabilities and standard deviations as tables: coding evaluates no exp and no sigmoid |
| `quantisation` | trained weights as whole numbers, small enough that float64 adds them up exactly        |
| `exact`        | that network in a backend: images to posteriors, latents to probabilities, bit for bit  |
| `codec`        | images to blocks of words, and back                                                     |
| `container`    | blocks to the bytes of a .vaez file, and back; FORMAT.md describes it                   |
| `images`       | binary images out of .npy and .npz files                                                |
| `work`         | `compress` and `decompress` of arrays, and the commands around them                     |
| `evaluation`   | rates beside the model's likelihood, `generic` compressors and `published` figures      |
"""
