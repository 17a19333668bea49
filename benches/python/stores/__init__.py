"""One module for each memory that is measured, with one class each: its calls, and nothing else. Not here: what is called and timed
(`worker`)."""
