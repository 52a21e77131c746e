"""Trajectories on disk: safetensors shards with a manifest, captured once, safely, and read without being loaded."""

from rs_cae.stream.cache.integrity import verify_files
from rs_cae.stream.cache.lock import writing_lock
from rs_cae.stream.cache.manifest import Manifest, read_manifest
from rs_cae.stream.cache.reader import CachedTrajectories
from rs_cae.stream.cache.writer import CorpusCache

__all__ = ["CachedTrajectories", "CorpusCache", "Manifest", "read_manifest", "verify_files", "writing_lock"]
