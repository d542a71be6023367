"""The storm: six clients work against a model, while Redis, children and servers are killed, frozen and cut off.

`schedule` draws the faults, `faults` does them, `client`, `owner` and `executions` do the operations, `model` knows
what must be true, `judge` compares it with what is stored at the end.
"""
