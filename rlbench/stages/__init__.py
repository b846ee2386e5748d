"""The stages: each a function from sealed folders to one new folder. They never import each other."""
