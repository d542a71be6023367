"""The chaos runner: clients work while Redis, disks, journals, networks and servers fail, and a ledger judges.

    python -m tests.chaos --seeds 1 2 3 --faults 334 [--kinds …] [--python /of/another/build/bin/python]

A run is made of worlds (`plan`): Redis servers behind addresses that stay, two machines, their servers (`world`). In a
world one fault follows the other (`episode`): `cast` and `client` do the operations, `kinds` are the faults, `ledger`
knows what must be true and what may be lost, `facts` what no answer may say, `watch` asks for the status all the time,
`judge` compares it all with what is stored and shown. `book` keeps events, times and violations, `story` tells of one,
`machine` measures what the machine itself adds to an answer's time.

`storm` is the other way round: no pause to judge, but six clients under faults that overlap, and one judgement at the
end.
"""
