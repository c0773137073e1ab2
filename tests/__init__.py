"""The tests as a package: mypy tells the folders' conftest.py apart by it."""
