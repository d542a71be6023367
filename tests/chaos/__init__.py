"""The chaos runner: clients work against a model while Redis, children and servers are killed, frozen and cut off.

    python -m tests.chaos --seeds 1 2 3 --faults 350 [--log events.jsonl]

`schedule` draws the faults, `faults` does them, `seat` keeps each client's server process alive, `client`, `owner`
and `executions` do the operations, `model` knows what must be true, `judge` compares it with what is stored at the
end, `machine` measures what the machine itself adds to an answer's time, `book` keeps events, times and violations.
"""
