#!/usr/bin/env bash
# A talk in the shape of OpenAI's Chat Completions does not come back the same from frameworks that read and write that
# shape, and nothing is raised. langchain-core drops the `audio` of an assistant's message, which is how a spoken answer
# is referred to later, and makes "" of a content that is null beside a refusal. Haystack turns the role `developer` into
# `system`, and a refusal into a list of blocks. A store that compares what comes back with what it has sees edited turns.
#
# Versions: langchain-core 1.8.3, haystack-ai 3.4.1.
# Source: langchain_core/messages/utils.py, haystack/dataclasses/chat_message.py; the shape is that of
# https://platform.openai.com/docs/api-reference/chat/create
# Seen: langchain-core {"role": "assistant", "content": "In May.", "audio": {"id": "audio_1"}} -> {"role": "assistant", "content": "In May."}
#       langchain-core {"role": "assistant", "content": null, "refusal": "No."} -> {"role": "assistant", "refusal": "No.", "content": ""}
#       haystack-ai {"role": "developer", "content": "Be brief."} -> {"role": "system", "content": "Be brief."}
#       haystack-ai {"role": "assistant", "content": null, "refusal": "No."} -> {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3.11}" -m venv venv
venv/bin/pip install --quiet langchain-core==1.8.3 haystack-ai==3.4.1
cat >ask.py <<'PY'
import json

from haystack.dataclasses import ChatMessage
from langchain_core.messages import convert_to_messages, convert_to_openai_messages

SPOKEN = {"role": "assistant", "content": "In May.", "audio": {"id": "audio_1"}}
REFUSED = {"role": "assistant", "content": None, "refusal": "No."}
DEVELOPER = {"role": "developer", "content": "Be brief."}
USER = {"role": "user", "content": "When do beans go out?"}


def langchain(message):
    return convert_to_openai_messages(convert_to_messages([message]))[0]


def haystack(message):
    return ChatMessage.from_openai_dict_format(message).to_openai_dict_format()


for name, there_and_back, messages in (
    ("langchain-core", langchain, (USER, DEVELOPER, SPOKEN, REFUSED)),
    ("haystack-ai", haystack, (USER, DEVELOPER, REFUSED)),
):
    for message in messages:
        back = there_and_back(message)
        if back != message:
            print(name, json.dumps(message), "->", json.dumps(back))
PY
HAYSTACK_TELEMETRY_ENABLED=false venv/bin/python ask.py | tee seen
diff seen - <<'SEEN' || { echo "This has changed."; exit 1; }
langchain-core {"role": "assistant", "content": "In May.", "audio": {"id": "audio_1"}} -> {"role": "assistant", "content": "In May."}
langchain-core {"role": "assistant", "content": null, "refusal": "No."} -> {"role": "assistant", "refusal": "No.", "content": ""}
haystack-ai {"role": "developer", "content": "Be brief."} -> {"role": "system", "content": "Be brief."}
haystack-ai {"role": "assistant", "content": null, "refusal": "No."} -> {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}
SEEN
