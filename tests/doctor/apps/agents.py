"""In the place of a package that does not belong into the process that carries calls."""
