"""A model behind an OpenAI-compatible endpoint, for filters and keywords.

Only `--mode=prepare` uses it. The key, if one is needed, is read from the
environment variable OPENAI_API_KEY.
"""

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent import futures

from mem_alpha.data import recipe as recipes

TRIES = 4
SECONDS = 120  # to wait for one answer
TOGETHER = 16  # questions on their way at a time


def endpoint(url: str, model: str) -> recipes.Ask:
  """A function that asks `model` at `url` (ending in /v1), greedily.

  It raises OSError where an answer does not come after several tries: data
  built with a part of the answers would not be what it says it is.
  """

  def ask(prompts: Sequence[str]) -> list[str]:
    with futures.ThreadPoolExecutor(TOGETHER) as pool:
      return list(pool.map(lambda p: _answer(url, model, p), prompts))

  return ask


def _answer(url: str, model: str, prompt: str) -> str:
  body = {
    'model': model,
    'messages': [{'role': 'user', 'content': prompt}],
    'temperature': 0,
    'max_tokens': 256,
  }
  headers = {'Content-Type': 'application/json'}
  if 'OPENAI_API_KEY' in os.environ:
    headers['Authorization'] = f'Bearer {os.environ["OPENAI_API_KEY"]}'
  request = urllib.request.Request(
    f'{url.rstrip("/")}/chat/completions', json.dumps(body).encode(), headers
  )
  for attempt in range(TRIES):
    try:
      with urllib.request.urlopen(request, timeout=SECONDS) as response:
        return json.load(response)['choices'][0]['message']['content'] or ''
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
      if attempt == TRIES - 1:
        raise OSError(
          f'{model} at {url} gave no answer in {TRIES} tries '
          f'({type(error).__name__}: {error}): check prepare.url and '
          'prepare.model, or leave prepare.url out to filter by rule.'
        ) from error
      time.sleep(0.5 * 2**attempt)
  raise AssertionError('the last try returns or raises')
