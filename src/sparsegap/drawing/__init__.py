"""What the figures of studies are made of: rows, series, axes, panels, and files."""
