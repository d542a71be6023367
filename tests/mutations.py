"""Takes the cures of faults away, one by one, and shows that a test fails without each.

    python -m tests.mutations [WORD ...]

Each mutation is made in a copy of the package, which the tests and the servers that they start import instead. With
words, only the mutations whose id has one of them are tried. Ends 1 if one of them is survived.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "agentic_flywheel"

TEST_SECONDS = 300
"""How long one test file may take: a mutated server may wait for its bounds."""


@dataclass(frozen=True)
class Mutation:
    """In `file`, `old` becomes `new`; `test` (a node id, or several) must fail then. `fault` is what was cured."""

    fault: str
    file: str
    old: str
    new: str
    test: str


MUTATIONS = [
    Mutation(
        "G1 outbox",
        "journal/outbox_rows.py",
        " WHERE destination = ? AND NOT dead AND ({mine}) GROUP BY key",
        " WHERE ? IS NOT NULL AND NOT dead AND ({mine}) GROUP BY key",
        "tests/tutorial/test_destinations.py::test_what_waits_for_one_redis_is_not_sent_to_another",
    ),
    Mutation(
        "G1 copies",
        "journal/opened.py",
        "        return known[0][0] if known else UNKNOWN",
        "        return 1",
        "tests/tutorial/test_destinations.py::test_two_redis_with_sessions_of_one_name_never_mix",
    ),
    Mutation(
        "G1 this machine",
        "places.py",
        "return copy if copy and await outbox.stash.read(key, deadline) is None else None",
        "return None",
        "tests/tutorial/test_destinations.py::test_what_belongs_to_this_machine_stays_until_it_is_saved_again",
    ),
    Mutation(
        "G2 F2 on a save",
        "outbox.py",
        "if copy and not merged and seen is not None and went_back(copy, seen):",
        "if False:",
        "tests/unit/test_rollback.py::test_a_save_over_an_older_state_brings_back_what_was_lost",
    ),
    Mutation(
        "G2 F2 on a resume",
        "places.py",
        "        if lost or older:",
        "        if False:",
        "tests/unit/test_rollback.py::test_a_deletion_that_redis_lost_stands",
    ),
    Mutation(
        "G2 F2 in the background",
        "putting_back.py",
        "        other += [copy for copy in lost if copy not in gone]",
        "",
        "tests/unit/test_rollback.py::test_what_nobody_asks_for_is_brought_back_in_the_background",
    ),
    Mutation(
        "G2 F2 pending",
        "outbox.py",
        "        return lacks(remote, before)",
        "        return False",
        "tests/unit/test_rollback.py::test_what_is_pending_does_not_leave_a_hole_in_an_older_state",
    ),
    Mutation(
        "G2 F2 the copy",
        "journal/replica_rows.py",
        "            if here and not here.tombstone and not covers(write.text, here.text):",
        "            if False:",
        "tests/unit/test_rollback.py::test_a_copy_that_redis_does_not_cover_is_not_overwritten",
    ),
    Mutation(
        "G2 diverged",
        "lineage.py",
        "        history = [*there.session.history, *missing(mine.session.history, there.session.history)]",
        "        history = there.session.history",
        "tests/unit/test_lineage.py",
    ),
    Mutation(
        "G15",
        "journal/replica_rows.py",
        "            if here and here.tombstone and buries(here.text, write.text):",
        "            if False:",
        "tests/unit/test_replica.py",
    ),
    Mutation(
        "G3 unreadable",
        "changes.py",
        "    except ValidationError:",
        "    except ZeroDivisionError:",
        "tests/unit/test_one_bad_thing.py::test_a_pending_row_that_cannot_be_read_is_a_dead_letter_and_blocks_nobody",
    ),
    Mutation(
        "F4 refused",
        "upkeep.py",
        '        except StashRefused as exc:\n            logger.info("Redis refused something: %s", exc)\n',
        "        except StashRefused:\n            raise\n",
        "tests/unit/test_one_bad_thing.py::test_a_session_that_redis_refuses_waits_and_the_others_are_sent_and_put_back",
    ),
    Mutation(
        "F12",
        "upkeep.py",
        "                await in_thread(self._journal.postpone, due.key, cause, ",
        "                print(due.key, cause, ",
        "tests/unit/test_one_bad_thing.py::test_a_session_that_redis_refuses_waits_and_the_others_are_sent_and_put_back",
    ),
    Mutation(
        "F5 R15 listed",
        "putting_back.py",
        "        await in_thread(self._journal.mark_missing, [copy.key for copy in gone])\n",
        "",
        "tests/unit/test_eviction.py",
    ),
    Mutation(
        "F5 R15 put back",
        "putting_back.py",
        "        other = await self._restore_together(outbox, gone)",
        "        other = list[Copy]()",
        "tests/unit/test_eviction.py",
    ),
    Mutation(
        "F5 storm",
        "putting_back.py",
        "min(2 * self._pause, LONGEST_EVICTION_SECONDS) if in_vain else EVICTION_SECONDS",
        "EVICTION_SECONDS",
        "tests/unit/test_eviction.py::test_putting_back_in_vain_is_tried_ever_more_rarely",
    ),
    Mutation(
        "G2 overtaken by an older state",
        "outbox.py",
        "                if once:\n                    raise _Overtaken\n",
        "",
        "tests/unit/test_rollback.py::test_an_older_state_that_comes_while_what_is_pending_is_sent_leaves_no_hole",
    ),
    Mutation(
        "G2 twice",
        "outbox.py",
        "seen != merged and went_back",
        "merged is None and went_back",
        "tests/unit/test_rollback.py::test_an_older_state_that_comes_twice_during_a_save_leaves_no_hole",
    ),
    Mutation(
        "F5 G2 refused",
        "places.py",
        "if older and text is not None:",
        "if False:",
        "tests/unit/test_rollback.py::test_where_an_older_state_takes_nothing_back_a_resume_shows_all_that_is_known",
    ),
    Mutation(
        "F2 half of a deletion",
        "putting_back.py",
        "mark.tombstone >= copy.revision and above",
        "mark.tombstone >= copy.revision",
        "tests/unit/test_rollback.py::test_a_deletion_of_which_redis_lost_the_second_half_is_finished",
    ),
    Mutation(
        "G2 seen of an older journal",
        "saving.py",
        "if self.views is None or self.seen_here else ()",
        "if self.views is None else ()",
        "tests/unit/test_set_back.py",
    ),
    Mutation(
        "F4 cut",
        "putting_back.py",
        "            await self._blame(outbox, some[0], exc, alone=len(some) == 1)\n",
        "            raise\n",
        "tests/unit/test_one_bad_thing.py::"
        "test_a_session_that_costs_the_connection_does_not_keep_the_others_from_being_put_back",
    ),
    Mutation(
        "F8 all of a key",
        "outbox.py",
        "                    sent, untold = item.position, exc\n",
        "                    raise\n",
        "tests/unit/test_one_bad_thing.py::test_all_that_is_pending_is_sent_though_the_journal_cannot_be_told",
    ),
    Mutation(
        "G2 an older journal",
        "saving.py",
        "return history[count:] if same else history",
        "return []",
        "tests/unit/test_set_back.py",
    ),
    Mutation(
        "F7 waiting for one's own",
        "store.py",
        "self._change(session_id, save, seen), bound)",
        "self._change(session_id, save, seen), self.places.bound())",
        "tests/unit/test_store.py::"
        "test_the_time_that_an_answer_may_take_runs_while_others_of_its_caller_are_waited_for",
    ),
]


def survives(mutation: Mutation, folder: Path) -> str:
    """Why a mutation does not count as caught; empty if its test failed."""
    copy = folder / "agentic_flywheel"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    path = copy / mutation.file
    text = path.read_text(encoding="utf-8")
    if text.count(mutation.old) != 1:
        return f"{mutation.file} has {text.count(mutation.old)} places to mutate"
    path.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider", *mutation.test.split()]
    env = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=TEST_SECONDS, check=False)
    if done.returncode == 1:
        return ""
    return "survived" if done.returncode == 0 else f"pytest ended {done.returncode}: {done.stdout[-300:]}"


def main(words: list[str]) -> int:
    """Try them; how many were not caught."""
    wanted = [each for each in MUTATIONS if not words or any(word in each.fault for word in words)]
    alive = 0
    for mutation in wanted:
        with tempfile.TemporaryDirectory() as folder:
            try:
                why = survives(mutation, Path(folder))
            except subprocess.TimeoutExpired:
                why = ""  # it hangs without its cure
        alive += bool(why)
        print(f"{mutation.fault:<28} {why or 'caught'}", flush=True)  # noqa: T201  a program for people
    print(f"{len(wanted) - alive} of {len(wanted)} caught")  # noqa: T201
    return min(alive, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
