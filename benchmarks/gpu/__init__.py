"""The ports on a GPU, graded and timed by one command that needs six minutes: `benchmarks/gpu.sh`.

The work is cut into parts (`plan.py`). Each runs in a process of its own (`part.py`) with a limit of its own, and
writes down each finding as it comes. A part that hangs, crashes or lacks a package keeps what it found and costs the
others nothing (`run.py`). What needs CUDA, and cannot be tried without, is in `cuda.py` alone.
"""
