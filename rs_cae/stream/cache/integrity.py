"""Is everything in a cache what its manifest says?"""

from collections.abc import Iterator
from pathlib import Path

from rs_cae.stream.cache.manifest import MANIFEST, ShardRecord, fingerprint, read_manifest
from rs_cae.stream.cache.shards import is_intact, read_record, record_file, shard_file


def verify_files(folder: Path) -> Iterator[tuple[str, str | None]]:
    """Each file of a corpus's folder, manifest first, with what is wrong with it, or None; reads all of it.

    While a cache is being written the shards' own records say what is there.

    Args:
        folder: Holds the manifest and the shards.
    """
    try:
        manifest = read_manifest(folder)
    except (OSError, ValueError) as error:
        yield MANIFEST, "there is none" if isinstance(error, FileNotFoundError) else str(error)
        return
    yield MANIFEST, None if manifest.complete else "is not complete"
    listed = {record.file: record for record in manifest.shards}
    for number in range(manifest.shard_count):
        file, record = shard_file(number), read_record(folder, number)
        expected = listed.get(file, record)
        if expected is None or expected.identity != fingerprint(manifest.identity):
            yield file, "was not captured yet"
        elif record != expected:
            yield file, f"{record_file(number)} is missing or damaged: it is not what the manifest says"
        else:
            yield file, _problem(folder, expected)


def _problem(folder: Path, record: ShardRecord) -> str | None:
    if not (folder / record.file).is_file():
        return "is missing"
    return None if is_intact(folder, record) else "is damaged: its SHA-256 is not the one in its record"
