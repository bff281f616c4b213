"""What people have, turned into datasets: one module per format, each yields `Utterance`s.

`recognition` says which format a source has, `source` finds recordings and opens none outside of their folder, `clips`
copies and cuts, `ledger` keeps metadata.csv and left_out.csv. `stages/ingest.py` joins them.
"""
