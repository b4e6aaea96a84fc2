"""The balance of the published training set: 562 instances of eight sources.

Prepares nothing: it mixes what the other configs of this folder have prepared
under data/. `apply` puts the mixture into any training config.
"""

from configs import base

CAPS = {
  'squad': 100,
  'hotpotqa': 100,
  'perltqa': 27,
  'longmemeval': 45,
  'nlu': 49,
  'trec_coarse': 51,
  'pubmed_rct': 90,
  'booksum': 100,
}
# Folders below `folder` that have not the name of their source.
FOLDERS = {'longmemeval': 'longmemeval_train'}


def get_config(arg=None):
  """`arg` is the folder of prepared data, data/ if not given."""
  config = base.get_config()
  apply(config, arg or 'data')
  return config


def apply(config, folder: str = 'data', sources=tuple(CAPS)) -> None:
  """Trains on prepared files of these sources, capped as published."""
  config.data.sources = ('files',)
  config.data.caps = tuple(f'{name}={CAPS[name]}' for name in sources)
  for split in ('train', 'validation', 'test'):
    config.data[f'{split}_files'] = tuple(
      f'{folder}/{FOLDERS.get(name, name)}/{split}.parquet'
      for name in sources
      # The published set has these for training alone.
      if split == 'train' or name != 'longmemeval'
    )
