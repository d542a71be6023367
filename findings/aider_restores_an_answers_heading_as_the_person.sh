#!/usr/bin/env bash
# aider cannot read its own history back. It writes a talk as Markdown, the person's lines behind "#### ", its own notes
# behind "> ", and answers as they are, so that an answer's own headings and quotations look like these. With
# --restore-chat-history it then gives the model another talk than the one that was had: a heading of the fourth level in
# an answer becomes a message of the person, a quotation is left out as a note of the program, and a heading of the first
# level is left out without a trace. The file does hold what would tell them apart: aider ends the lines that it marks
# itself with two blanks, and its reader does not look. Read the history by these blanks.
#
# Versions: aider-chat 0.86.2
# Source: aider/io.py (append_chat_history, user_input, ai_output), aider/utils.py (split_chat_history_markdown)
# Seen: person: When do I sow beans?
#       assistant: After the frost.
#       person: In rows
#       assistant: Ten apart.
#       assistant: Water well.
#       in the file, marked by two blanks: 1 line of the person; headings of the answer without: 1
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check aider-chat==0.86.2
cat >"$folder/look.py" <<'PY'
import sys
from pathlib import Path

from aider.io import InputOutput
from aider.utils import split_chat_history_markdown

ANSWER = "After the frost.\n\n#### In rows\nTen apart.\n\n> Never before the ice saints.\n\n# In short\n\nWater well.\n"

file = Path(sys.argv[1]) / "history.md"
io = InputOutput(
    pretty=False, fancy_input=False, yes=True, chat_history_file=file, input_history_file=file.with_suffix(".input")
)
io.user_input("When do I sow beans?")
io.ai_output(ANSWER)
text = file.read_text()
for message in split_chat_history_markdown(text):
    print(f"{message['role'].replace('user', 'person')}: {' '.join(message['content'].split())}")
marked = [line for line in text.splitlines() if line.startswith("#### ")]
ours = sum(line.endswith("  ") for line in marked)
print(f"in the file, marked by two blanks: {ours} line of the person; headings of the answer without: {len(marked) - ours}")
PY
seen=$(cd "$folder" && HOME="$folder" "$folder/venv/bin/python" look.py "$folder")
echo "$seen"
[ "$seen" = "person: When do I sow beans?
assistant: After the frost.
person: In rows
assistant: Ten apart.
assistant: Water well.
in the file, marked by two blanks: 1 line of the person; headings of the answer without: 1" ] || exit 1
