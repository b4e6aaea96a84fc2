"""What the configs of this folder have in common."""

from ml_collections import config_dict

from configs import base


def start(
  source: str, arg: str | None, *variants: str
) -> config_dict.ConfigDict:
  """The base config with a source; `arg` names one of `variants`, if any.

  `published` is the split as published, with what training shares with the
  benchmark; its ids and files have that name, so the two do not mix.
  """
  if arg and arg not in variants:
    raise ValueError(
      f'configs/data/{source}.py has no variant {arg!r}: '
      f'{", ".join(variants) or "it has none"}.'
    )
  config = base.get_config()
  config.data.sources = (source,)
  config.data.published = arg == 'published'
  return config
