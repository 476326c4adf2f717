"""A local web page for looking at pictures and deciding on them."""
