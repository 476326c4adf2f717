"""What type checkers see of `cleaner/__init__.py`, which loads these when they are first asked for."""

from cleaner.api import balance as balance
from cleaner.api import labels as labels
from cleaner.api import noise as noise
from cleaner.api import open_workspace as open_workspace
from cleaner.api import scan as scan
from cleaner.config import BalanceSettings as BalanceSettings
from cleaner.config import EmbeddingSettings as EmbeddingSettings
from cleaner.config import LabelsSettings as LabelsSettings
from cleaner.config import NoiseSettings as NoiseSettings
from cleaner.config import ScanSettings as ScanSettings
from cleaner.config_sources import read_config as read_config
from cleaner.errors import CleanerError as CleanerError
from cleaner.exports.kind import ExportOptions as ExportOptions
from cleaner.opened_workspace import Workspace as Workspace

__version__: str
