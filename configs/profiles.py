"""The published system's behaviour, switch by switch.

A profile is no code path: it sets knobs of `base.py`, one row each below, with
the value that reproduces the published system (defects included, where they
change scores) and the value that we use instead, and why. Ask for it after a
colon: --config=configs/base.py:reference. Facts: the published code and paper
(arXiv 2509.25911).
"""

import dataclasses

from ml_collections import config_dict


@dataclasses.dataclass(frozen=True)
class Switch:
  """The value of a knob in each profile, and why ours differs."""

  default: object
  reference: object
  why: str


SWITCHES = {
  'prompt.profile': Switch(
    'compact',
    'reference',
    'the released checkpoint knows one layout, in which contents may look like '
    'other entries, and one call format, which repairs what was cut off',
  ),
  'memory.core_overflow': Switch(
    'refuse', 'truncate', 'core loses its end and its line breaks silently'
  ),
  'memory.limit_tokenizer': Switch(
    'run', 'o200k', 'a limit in tokens that the model does not see'
  ),
  'memory.entry_limit': Switch(
    64, None, 'one entry may hold a whole chunk, and memory may not compress'
  ),
  'memory.allow_empty': Switch(
    False, True, 'a call that stores nothing is paid as a success'
  ),
  'memory.delete_unknown': Switch(
    False, True, 'deleting what is not there is paid as a success'
  ),
  'reader.idf': Switch(
    'default', 'reference', 'in a tiny store Okapi ranks matches last'
  ),
  'reader.order': Switch(
    'insertion',
    'rank',
    'questions of one memory share no beginning of a prompt',
  ),
  'reader.temperature': Switch(
    0.0, 0.7, 'the same memory gets another score each time'
  ),
  'reader.thinking': Switch(
    None, False, 'a server without that switch may refuse the request'
  ),
  'reader.max_new_tokens': Switch(64, 2048, 'answers are a few words'),
  'judge.chunk': Switch(
    True, False, 'what the chunk does not say can still be judged valid'
  ),
  'reward.scores': Switch(
    'default', 'reference', 'right answers score 0, see rewards/published.py'
  ),
  'reward.skipped': Switch(
    'failed', 'published', 'a content can forge the mark of a skipped call'
  ),
  'reward.unknown_delete': Switch(
    False, True, 'deleting what is not there is paid as a success'
  ),
  'reward.truncated': Switch(
    False, True, 'a call that the length limit cut off is paid as a success'
  ),
  'reward.done': Switch(
    1.0, 0.0, 'rightly storing nothing is punished like garbage'
  ),
  'reward.published_content': Switch(
    False, True, 'a delete counts as an invalid content'
  ),
  'reward.tokenizer': Switch(
    'run', 'o200k', 'memory is paid for in tokens that the model does not see'
  ),
}
NAMES = ('default', 'reference')


def apply(config: config_dict.ConfigDict, name: str) -> None:
  """Sets every switch of `config` to its value in the profile `name`."""
  if name not in NAMES:
    raise ValueError(
      f'Unknown profile {name!r} behind the config: use one of '
      f'{", ".join(NAMES)}, or none.'
    )
  for key, switch in SWITCHES.items():
    section, knob = key.split('.')
    config[section][knob] = getattr(switch, name)
