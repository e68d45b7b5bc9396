"""Where artifacts lie: folders of files, committed once, verified when they are read."""
