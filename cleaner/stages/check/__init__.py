"""`cleaner check`: new images judged by what an earlier run left behind."""
