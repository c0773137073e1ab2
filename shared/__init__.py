"""The text: specification, portable random stream, float64 oracle, contract, golden vectors, data sets.

Imports NumPy and safetensors only (data sets load their readers when asked), and nothing from the packages above it.
"""
