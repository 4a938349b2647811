"""The language that all processes of GenVM Manager share: pure data and codecs, no policy."""

__version__ = "0.2.0"
