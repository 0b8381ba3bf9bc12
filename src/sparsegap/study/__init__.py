"""Studies: a TOML file becomes trials, trials become records, records become figures, claims and a page."""
