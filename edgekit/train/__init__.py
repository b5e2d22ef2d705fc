"""Training: networks, data, loops and export. Needs the extra `[train]`; it stands apart."""
