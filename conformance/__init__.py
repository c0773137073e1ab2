"""The conformance suite: whether a module computes the VAE that the specification describes, and where it does not.

python -m conformance my_package.my_vae
"""
