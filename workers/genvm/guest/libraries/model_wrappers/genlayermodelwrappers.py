"""The module `genlayermodelwrappers`: how `genlayer_embeddings` was called before."""

from genlayer_embeddings import SentenceTransformer

__all__ = ("SentenceTransformer",)
