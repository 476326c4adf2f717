"""A local web page on which people look at pictures and decide."""
