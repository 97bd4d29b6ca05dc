"""The experiments of jaxlin: each file asks one question and answers it in a report.

Run one from a clone, ``python -m experiments.<name> --help``. They are not part of the
installed package; `jaxlin` never imports them.
"""
