"""Studies that come with the package, one TOML file each; nothing here is code."""
