from .errors import ConfigError as ConfigError
from .errors import ModelError as ModelError
from .errors import OutputError as OutputError
from .errors import RunError as RunError
from .evaluation.evaluate import Evaluation as Evaluation
from .evaluation.evaluate import evaluate_output as evaluate_output
from .model.feature_model import FeatureModel as FeatureModel
from .model.prepare import prepare_model as prepare_model
from .options.config import RunConfig as RunConfig
from .options.config import make_config as make_config
from .outputs.dataset import read_dead_letters as read_dead_letters
from .outputs.dataset import read_ledger as read_ledger
from .outputs.dataset import read_manifest as read_manifest
from .outputs.dataset import read_shard as read_shard
from .outputs.dataset import run_ids as run_ids
from .outputs.features import Features as Features
from .outputs.features import load_features as load_features
from .outputs.features import read_features as read_features
from .outputs.features import stream_features as stream_features
from .outputs.latest import latest as latest
from .outputs.verify import verify_output as verify_output
from .runs.run import run as run
from .runs.running import RunReport as RunReport

__version__: str
