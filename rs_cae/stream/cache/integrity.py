"""Is everything in a cache what its manifest says?"""

from collections.abc import Iterator
from pathlib import Path

from rs_cae.stream.cache.manifest import MANIFEST, read_manifest
from rs_cae.stream.cache.shards import is_intact, read_record, record_file, shard_file


def damaged_parts(folder: Path) -> Iterator[tuple[str, str | None]]:
    """Each part of a corpus's folder, manifest first, with what is wrong with it, or None; reads all of it.

    Args:
        folder: Holds the manifest and the shards.
    """
    try:
        manifest = read_manifest(folder)
    except (OSError, ValueError) as error:
        yield MANIFEST, "there is none" if isinstance(error, FileNotFoundError) else str(error)
        return
    yield MANIFEST, None
    for number, record in enumerate(manifest.shards):
        problem = None if (folder / record.file).is_file() else "is missing"
        if problem is None and not is_intact(folder, record):
            problem = "is damaged: its SHA-256 is not the one in the manifest"
        if problem is None and read_record(folder, number) != record:
            problem = f"{record_file(number)} is damaged: it is not what the manifest says"
        yield record.file, problem
    for number in range(len(manifest.shards), manifest.shard_count):
        yield shard_file(number), "was not captured yet"
