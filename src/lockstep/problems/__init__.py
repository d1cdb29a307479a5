"""What is asked of a model: one module a problem, found by its file name.

Each gives ``check_target``, ``classes``, ``encode_target``, ``losses``, ``trivial``, ``choose``, ``decide``,
``metrics``, ``METRICS`` (name to whether greater is better) and ``KINDS`` (of the target's column). A model's output
is one array: (n_rows,) predicted values in regression, (n_rows, n_classes) probabilities elsewhere.
"""
