"""Where tables come from: one module a source, found by its file name.

Each gives ``Settings`` (the typed block ``source`` of params.yaml), ``lock(settings, root)`` (what ``data/source.lock``
records) and ``read(settings, root)`` (the table; text formats keep every cell as text).
"""
