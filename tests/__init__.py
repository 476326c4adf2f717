"""Tests of cleaner: a folder for each room of the package; program/ holds tests of the whole, support/ what they share.

What the tests compute is too small to gain by a second thread, and with one thread each, two workers of pytest-xdist
fill two cores. The environment is set here because this is imported before torch; programs that tests start inherit it.
"""

import os

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
os.environ["CLEANER_EMBEDDING_BACKBONE"] = "embedded-small"  # of every program: a third of the default's time
