"""What does this loss compute? A black-box examination of any VAE loss function, by finite differences.

`examine` takes a callable and returns `Findings`; `vae audit my_package.losses:vae_loss` prints them.
Page: conformance/AUDIT.md.
"""

from vae_rosetta.conformance.audit.examination import examine
from vae_rosetta.conformance.audit.findings import Deviation, Fault, Findings
from vae_rosetta.conformance.audit.probe import AuditError

__all__ = ["AuditError", "Deviation", "Fault", "Findings", "examine"]
