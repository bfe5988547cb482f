"""Statutory returns of English authorities: their layouts, and what reads them."""
