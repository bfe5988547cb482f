"""Files as they come: text, archives, databases, brought to Parquet with dates that are dates."""
