"""Files become documents: a suffix names its loader."""
