"""Take a table from its source to a watched prediction service, as one reproducible graph."""
