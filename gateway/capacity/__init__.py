"""How large an installation must be: what is wanted (load), what each thing costs as measured (costs), what follows (model), a day of it (day).

Pure, but for reading costs.json. `bench/capacity.py` measures and writes that file.
"""
