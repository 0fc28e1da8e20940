"""A small set of real face videos from public-domain portraits that ship inside scikit-image and Matplotlib."""

from svfr.sample.write import write_old, write_samples

__all__ = ["write_old", "write_samples"]
