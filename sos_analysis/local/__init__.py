"""One authority's own records, described for its own people."""
