"""How good a model is: its negative ELBO, its likelihood by importance weighting, and which latents it uses.

Everything takes a model of any backend (the contract) and arrays; `command.py` is the work of `vae evaluate`.
"""
