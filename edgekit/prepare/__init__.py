"""Data sets out of one's own videos, in the layouts that the field's training code reads."""
