"""Many texts from a file of JSON lines into a folder of sound, picked up again where it was left."""

from pyomni.batch.folder import MANIFEST, Folder
from pyomni.batch.records import OPTIONS, BadRecord, Record, read_records
from pyomni.batch.running import Done, run

__all__ = ["MANIFEST", "OPTIONS", "BadRecord", "Done", "Folder", "Record", "read_records", "run"]
