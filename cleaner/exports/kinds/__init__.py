"""The kinds of export: one module each, which declares `KIND`; the module's name, with `-` for `_`, is the kind's."""
