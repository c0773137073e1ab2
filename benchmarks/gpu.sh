#!/usr/bin/env bash
# Ports on a GPU, graded and timed, in six minutes. Nothing needs to be installed but the frameworks; see docs/speed.md.
#   benchmarks/gpu.sh [--out FILE] [--part WORD] ...      PYTHON=... chooses the interpreter
#   DEVICE=cpu benchmarks/gpu.sh                          the same script, with small counts, where there is no GPU
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec "${PYTHON:-$(command -v python3 || command -v python)}" -m vae_rosetta.benchmarks.gpu --device "${DEVICE:-cuda}" "$@"
