"""The kinds of faults."""

from .append_only import CutAppendOnlyFile
from .eviction import Eviction
from .failover import LaggingReplica
from .fault import Fault
from .full_disk import FullDisk
from .older_journal import OlderJournal
from .poison import Poison
from .refused_keys import RefusedKeys
from .second_redis import SecondRedis
from .snapshots import OlderSnapshot

KINDS: dict[str, type[Fault]] = {
    kind.name: kind
    for kind in (
        OlderSnapshot,
        CutAppendOnlyFile,
        LaggingReplica,
        Eviction,
        SecondRedis,
        OlderJournal,
        Poison,
        RefusedKeys,
        FullDisk,
    )
}
"""By name."""

NOTHING = Fault.name

__all__ = ["KINDS", "NOTHING", "Fault"]
