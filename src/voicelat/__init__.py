"""voicelat finds, cuts and proves the time between a caller's question and the answer."""

__all__ = ["__version__"]

__version__ = "0.1.0"
