"""Keywords of a summary: what an answer about a whole text must mention.

The published set has a large model write them; with `recipe.ask` a model does
so here too. By rule they are the names of the summary that stand in the text
(runs of capitalised words not at the head of a sentence), the most frequent
first, then its frequent long words.
"""

import collections
import re

from mem_alpha.data import chunking
from mem_alpha.data import recipe as recipes

MOST, FEWEST = 15, 3
_NAME = re.compile(r'(?<=[a-z,;] )[A-Z][\w’\']+(?: [A-Z][\w’\']+){0,2}')
_LONG = re.compile(r'\b[a-z]{7,}\b')
_PROMPT = (
  'List the keywords that any summary of the story below must mention: names '
  'of people and places first, then the main events in one word each. Write at '
  'most {most} of them on one line, with a comma between them and nothing '
  'else.\n\n{summary}'
)


def find(
  summaries: list[str], text: str, recipe: recipes.Recipe
) -> tuple[str, ...]:
  """Keywords of the summaries that stand in the text; () if too few do."""
  summary = '\n'.join(summaries)
  if recipe.ask:
    prompt = _PROMPT.format(most=MOST, summary=summary)
    found = [word.strip(' .') for word in recipe.ask([prompt])[0].split(',')]
  else:
    found = _by_rule(summary)
  lowered = text.lower()
  kept = [word for word in dict.fromkeys(found) if word.lower() in lowered]
  kept = [word for word in kept if word and ',' not in word][:MOST]
  return tuple(kept) if len(kept) >= FEWEST else ()


def _by_rule(summary: str) -> list[str]:
  names, words = collections.Counter(), collections.Counter()
  for sentence in chunking.sentences(summary):
    names.update(_bare(name) for name in _NAME.findall(sentence))
    words.update(_LONG.findall(sentence))
  return [
    word
    for counter in (names, words)
    # Of equal counts the first one met: Counter keeps that order.
    for word, _ in counter.most_common()
  ]


def _bare(name: str) -> str:
  return re.sub(r'[’\']s?$', '', name)
