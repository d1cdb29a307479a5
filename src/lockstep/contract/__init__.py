"""The contract: what a row may be, and what each column is.

``model`` holds it, ``rules`` checks one row, ``read`` turns the cells of a table into values, ``request`` turns a
JSON row into values. The first, second and fourth import neither pandas nor Great Expectations: they serve.
"""

from lockstep.contract.model import FILE, Column, Contract, Rule, load, loads

__all__ = ["FILE", "Column", "Contract", "Rule", "load", "loads"]
