#!/usr/bin/env bash
# A Pydantic AI message with an image comes back from its own JSON as another class (BinaryImage for BinaryContent), and the
# two are not equal, though they are written as the same JSON; a PDF, a WAV or plain text comes back equal. A store that
# tells by == whether a conversation went on or branched takes every talk with an image for a branch after it was read.
#
# Versions: pydantic-ai-slim 2.68.0
# Source: the package itself (ModelMessagesTypeAdapter, which its documentation names for keeping messages)
# Seen: image/png: equal False, BinaryContent became BinaryImage, same JSON True
#       application/pdf: equal True, BinaryContent became BinaryContent, same JSON True
#       audio/wav: equal True, BinaryContent became BinaryContent, same JSON True
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pydantic-ai-slim==2.68.0
cat >"$folder/look.py" <<'PY'
from pydantic_ai.messages import BinaryContent, ModelMessagesTypeAdapter, ModelRequest, UserPromptPart

for kind in ("image/png", "application/pdf", "audio/wav"):
    said = BinaryContent(data=b"a picture of a fern", media_type=kind)
    talk = [ModelRequest(parts=[UserPromptPart(content=["What is this?", said])])]
    text = ModelMessagesTypeAdapter.dump_json(talk)
    back = ModelMessagesTypeAdapter.validate_json(text)
    part = back[0].parts[0].content[1]
    same = ModelMessagesTypeAdapter.dump_json(back) == text
    print(f"{kind}: equal {back == talk}, {type(said).__name__} became {type(part).__name__}, same JSON {same}")
PY
seen=$("$folder/venv/bin/python" "$folder/look.py")
echo "$seen"
[ "$seen" = "image/png: equal False, BinaryContent became BinaryImage, same JSON True
application/pdf: equal True, BinaryContent became BinaryContent, same JSON True
audio/wav: equal True, BinaryContent became BinaryContent, same JSON True" ] || exit 1
