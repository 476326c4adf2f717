"""The command line: parse, build settings, call one stage, print."""
