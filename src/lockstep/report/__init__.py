"""What people look at: figures and two self-contained pages, made of what the stages found.

``importance`` and ``curves`` compute tables, ``drawings`` turns them into SVG, ``page`` and ``validation`` write HTML.
All of it is pure and byte-stable: equal inputs give equal text.
"""
