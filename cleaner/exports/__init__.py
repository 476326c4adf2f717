"""The way out: the cleaned set in the forms that other programs read. A kind is a module of `cleaner.exports.kinds`."""
