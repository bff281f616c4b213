"""What the framework relies on in a pack, as checks: behind `xtts plugins check` and the pytest kit alike.

`checks.py` is the list. `candidate.py` is a pack under examination, `odd_texts.py` what it is given to read, `pace.py`
how fast it reads, `alone.py` a process without torch, `installed.py` the command's part: one process per pack.
"""
