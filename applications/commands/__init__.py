"""The commands of `vae`, one module each: its options here, its work in the module that it imports when it runs.

None of these modules imports a framework, nor NumPy, so that `vae train --help` answers at once.
"""
