"""A save that was made on a document which another process has deleted meanwhile, in a journal alone."""

from contextlib import closing
from pathlib import Path

from agentic_flywheel.documents.delete import DeleteCommand
from agentic_flywheel.documents.writes import Write
from agentic_flywheel.journal import Journal
from agentic_flywheel.replication.local_writer import LocalWriter
from agentic_flywheel.session_keys import SessionKeys

from .conftest import Clock

KEY = "p:session:s"
WRITES = ",".join(f'[1,0,{number},"a.{number}"]' for number in range(1, 30))
SEEN = (
    '{"schema_version":1,"id":"s","revision":29,"history":[{"role":"user","content":"one"}],"created_at":'
    '"2026-01-01T00:00:00.000000+00:00","saved_at":"2026-01-01T00:00:00.000000+00:00","kept_until":null,'
    f'"operations":[{WRITES}]}}'
)


def test_what_was_seen_does_not_stand_for_its_tombstone(tmp_path: Path, clock: Clock):
    with closing(Journal(tmp_path, clock)) as journal:
        assert journal.commit(Write(KEY, SEEN, None, None)).accepted
        keys = SessionKeys(KEY)
        deletion = DeleteCommand(
            key=KEY, member="s", index="p:sessions", revisions=keys.revisions, histories=keys.histories
        )
        assert LocalWriter(journal, clock, offline=True).write(deletion, pending=False).deleted
        assert not journal.commit(Write(KEY, SEEN.replace("one", "two"), SEEN, None)).accepted
