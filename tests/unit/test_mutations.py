"""The list of mutations is of the code that is there: each of its lines stands in its file, once."""

from pathlib import Path

import agentic_flywheel

from ..mutations_of import MUTATIONS

SOURCE = Path(agentic_flywheel.__file__).parent


def test_each_mutation_changes_a_line_that_is_there_once():
    texts = {file: (SOURCE / file).read_text(encoding="utf-8") for file in {each.file for each in MUTATIONS}}
    assert [each.fault for each in MUTATIONS if texts[each.file].count(each.old) != 1] == []
