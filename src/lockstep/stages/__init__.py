"""The edge: each module here is one stage of ``dvc.yaml``, a function ``run`` that reads, calls a step, and writes."""
