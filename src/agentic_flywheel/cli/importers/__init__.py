"""Reads conversations from the files that other programs export or leave on the disk.

A reader takes the entries of a whole file and gives its conversations, `session(entries, name) -> Iterator[Imported |
BadEntry]`; the file may have grown since the last time, and the whole is read and compared. A reader of lines that only
appends may offer a `Follower` as well (`following.py`): it is shown each line once, says whether the talk simply goes
on, and keeps some ids in a state between two runs. Then only what is new is read, and given to the same reader as if it
were a file of its own; whenever the follower says no, the whole is read. What is done with either is in
`cli/growing.py`.
"""
