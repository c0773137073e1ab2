"""A port in any language as a backend: a command that answers requests, as `conformance/PROTOCOL.md` says."""

from vae_rosetta.shared.process.adapter import Command, backend
from vae_rosetta.shared.process.runner import CommandError, LateError, Runner

__all__ = ["Command", "CommandError", "LateError", "Runner", "backend"]
