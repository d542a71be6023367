#!/usr/bin/env bash
# What LangGraph writes into a checkpoint comes back without two things that change what a graph does, and nothing is said. A
# deque loses its maxlen, so a window over the last turns grows with every run after the first. A time in a named zone
# becomes one at a fixed offset, so "in 90 days at nine in Berlin" is eight o'clock there once the clocks went back. Within
# one run both are as the node left them, so a test that invokes the graph once sees nothing. Every saver has the serializer.
#
# Versions: langgraph 1.2.24 with langgraph-checkpoint 4.3.2 (its saver in memory), tzdata 2026.6.
# Source: langgraph/checkpoint/serde/jsonplus.py
# Seen: run 1: [1] of at most 2
#       run 2: [1, 2] of at most None
#       run 3: [1, 2, 3] of at most None
#       begun in summer, 90 days later: 2026-12-28 08:00 in Berlin
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check langgraph==1.2.24 langgraph-checkpoint==4.3.2 tzdata==2026.6
cat >"$folder/look.py" <<'PY'
from collections import deque
from datetime import datetime, timedelta
from typing import TypedDict
from zoneinfo import ZoneInfo

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph

BERLIN = ZoneInfo("Europe/Berlin")


class State(TypedDict):
    said: int
    recent: deque[int]
    remind: datetime


def note(state: State) -> dict[str, object]:
    recent = state.get("recent")
    recent = deque(maxlen=2) if recent is None else recent
    recent.append(state["said"])
    remind = state.get("remind") or datetime(2026, 9, 29, 9, tzinfo=BERLIN) - timedelta(days=90)
    return {"recent": recent, "remind": remind + timedelta(days=90)}


graph = StateGraph(State)
graph.add_node("note", note)
graph.add_edge(START, "note")
graph.add_edge("note", END)
kept = graph.compile(checkpointer=InMemorySaver())
for said in (1, 2, 3):
    state = kept.invoke({"said": said}, {"configurable": {"thread_id": "garden"}})
    print(f"run {said}: {list(state['recent'])} of at most {state['recent'].maxlen}")
    if said == 2:
        in_winter = state["remind"].astimezone(BERLIN)
print(f"begun in summer, 90 days later: {in_winter:%Y-%m-%d %H:%M} in Berlin")
PY
seen=$("$folder/venv/bin/python" "$folder/look.py")
echo "$seen"
[ "$seen" = "run 1: [1] of at most 2
run 2: [1, 2] of at most None
run 3: [1, 2, 3] of at most None
begun in summer, 90 days later: 2026-12-28 08:00 in Berlin" ] || exit 1
