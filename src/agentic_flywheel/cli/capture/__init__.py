"""Takes in what other programs write while they write it: hooks, a drainer behind them, and what a person sees of both.

What a hook runs (`hook`, `notes`, `off_record`, `small_files`, `start_drainer`) imports next to nothing, because a
person waits for it after each answer. `drainer` opens the store, in a process of its own.
"""
